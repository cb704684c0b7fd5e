"""bf16 on a CUDA device that has none in hardware: refused where it is asked for, avoided where nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.harness.generation import load_generator
from assay.harness.generation.torch_engine import loading_dtype, short_dtype
from assay.harness.models.resolve import POCKET_FOLDER
from assay.harness.profiling.measure import Job
from assay.harness.profiling.measure.inference import dtype_of
from assay.harness.profiling.measure.job import Source
from assay.trainers.artifact import Artifact, identify
from assay.trainers.config import QuantizationTable
from assay.trainers.errors import TrainingError
from assay.trainers.model.precision import resolve_dtype
from assay.trainers.model.quantize import check_supported

pytestmark = pytest.mark.train
# before a CUDA device is feigned, which its import would try to use
pytest.importorskip("bitsandbytes", reason="needs the train extra: pip install 'assay[train]'")


@pytest.fixture
def t4(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))


@pytest.fixture
def pocket() -> Artifact:
    return identify(POCKET_FOLDER)


def refusal() -> str:
    with pytest.raises(TrainingError) as caught:
        resolve_dtype("bf16")
    return str(caught.value)


@pytest.mark.usefixtures("t4")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "auto"])
def test_generation_refuses_it_in_the_trainers_words_before_anything_is_loaded(
    pocket: Artifact, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loads(monkeypatch)
    with pytest.raises(TrainingError) as caught:
        load_generator(pocket, device=device, dtype="bf16")
    assert str(caught.value) == refusal()
    assert loaded == []


@pytest.mark.usefixtures("t4")
@pytest.mark.parametrize("weights", ["stored", "nf4"])
def test_a_profile_of_inference_refuses_it_too(pocket: Artifact, weights: Any) -> None:
    with pytest.raises(TrainingError) as caught:
        dtype_of(Job(name="x", source=Source.of(pocket), dtype="bf16", weights=weights))
    assert str(caught.value) == refusal()


@pytest.mark.usefixtures("t4")
def test_a_quantised_base_that_names_it_is_refused() -> None:
    with pytest.raises(
        TrainingError, match=r"^quantization\.compute_dtype = 'bf16' is unsupported by Tesla T4"
    ):
        check_supported(QuantizationTable(compute_dtype="bf16"), "bf16")


@pytest.mark.usefixtures("t4")
@pytest.mark.parametrize(
    ("stored", "device", "loaded"),
    [
        ("bf16", "cuda", "fp32"),
        ("auto", "cuda", "fp32"),
        ("fp16", "cuda", "fp16"),
        ("fp32", "cuda", "fp32"),
        ("bf16", "cpu", "bf16"),
    ],
)
def test_auto_is_as_stored_where_the_device_has_it(stored: str, device: str, loaded: str) -> None:
    assert loading_dtype("auto", stored, device) == loaded


@pytest.mark.usefixtures("t4")
def test_auto_loads_weights_in_bf16_as_fp32(pocket: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoConfig

    assert short_dtype(AutoConfig.from_pretrained(POCKET_FOLDER).dtype) == "bf16"
    loaded = loads(monkeypatch)
    with pytest.raises(InterruptedError):
        load_generator(pocket, device="cuda")
    with pytest.raises(InterruptedError):
        load_generator(pocket, device="cpu")
    assert loaded == [torch.float32, torch.bfloat16]
    assert dtype_of(Job(name="x", source=Source.of(pocket))) == "fp32"
    assert dtype_of(Job(name="x", source=Source.of(pocket), device="cpu")) == "bf16"


def test_on_a_device_that_has_it_or_on_a_cpu_nothing_is_refused(
    pocket: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    assert dtype_of(Job(name="x", source=Source.of(pocket), dtype="bf16", device="cpu")) == "bf16"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert loading_dtype("bf16", "fp32", "cuda") == loading_dtype("auto", "bf16", "cuda") == "bf16"


def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The types that models are loaded as, each load being cut short: there is no such device to put them on."""
    from transformers import AutoModelForCausalLM

    found: list[Any] = []

    def load(_folder: str | Path, *, dtype: Any, **_: Any) -> Any:
        found.append(dtype)
        raise InterruptedError

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    return found
