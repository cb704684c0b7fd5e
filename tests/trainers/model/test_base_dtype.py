"""A frozen base kept in half precision: half the memory, an adapter in fp32, and what does not go together refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from assay.trainers import Artifact, Records, SftConfig, TrainingError
from assay.trainers.methods.sft import build_trainer, train_sft
from assay.trainers.model.prepare import base_dtype
from assay.trainers.run.log import LOG, read_steps

Make = Callable[..., SftConfig]


@pytest.mark.parametrize(
    ("given", "arithmetic", "kept"),
    [
        ({}, "fp32", "fp32"),
        ({}, "bf16", "bf16"),
        ({}, "fp16", "fp32"),  # a residual stream in fp16 might overflow
        ({"base_dtype": "fp16"}, "fp16", "fp16"),
        ({"base_dtype": "fp32"}, "bf16", "fp32"),
        ({"base_dtype": "bf16"}, "bf16", "bf16"),
        ({"adapter": {"type": "none"}}, "bf16", "fp32"),  # what is trained is fp32
        ({"adapter": {"bias": "all"}}, "bf16", "fp32"),  # and so are biases of the base
    ],
)
def test_what_a_base_is_kept_in(given: dict[str, object], arithmetic: str, kept: str) -> None:
    config = SftConfig.model_validate({"method": "sft"} | given)
    assert base_dtype(config, arithmetic) == kept


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"adapter": {"type": "none"}}, "weights that are trained are fp32"),
        ({"quantization": {"type": "nf4"}}, "the base is quantised"),
        ({"dtype": "fp32"}, "asks for another arithmetic"),
        ({"dtype": "fp16"}, "asks for another arithmetic"),
        ({"adapter": {"bias": "lora_only"}}, "trains biases of the base"),
    ],
)
def test_what_does_not_go_with_a_base_in_bf16_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SftConfig.model_validate({"method": "sft", "base_dtype": "bf16"} | given)


def test_auto_arithmetic_that_came_to_something_else_is_said() -> None:
    config = SftConfig.model_validate({"method": "sft", "base_dtype": "bf16"})
    with pytest.raises(TrainingError, match="came to fp32 on this machine"):
        base_dtype(config, "fp32")


@pytest.mark.bf16
@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "loha", "lokr"])
def test_every_adapter_is_trained_in_fp32_on_a_base_in_bf16(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, kind: str
) -> None:
    import torch
    from safetensors.torch import load_file

    config = small_config(dtype="bf16", adapter={"type": kind, "r": 8, "alpha": 16}, max_steps=12)
    (tmp_path / "seen").mkdir()
    model = build_trainer(tiny, config, chats, tmp_path / "seen").model
    types = {
        trained: {p.dtype for p in model.parameters() if p.requires_grad is trained}
        for trained in (True, False)
    }
    assert types == {True: {torch.float32}, False: {torch.bfloat16}}
    made = train_sft(tiny, config, chats, tmp_path / "out")
    assert "on a base in bf16" in made.recipe
    losses = [s.loss for s in read_steps(made.path / LOG)]
    assert losses[-1] < 0.8 * losses[0]
    saved = load_file(str(made.path / "adapter_model.safetensors"))
    assert {t.dtype for t in saved.values()} == {torch.float32}


@pytest.mark.bf16
@pytest.mark.train
def test_a_base_in_fp32_stays_so_where_it_is_asked_for(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    import torch

    config = small_config(dtype="bf16", base_dtype="fp32", max_steps=1)
    model: Any = build_trainer(tiny, config, chats, tmp_path).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.bf16
@pytest.mark.train
def test_the_loss_is_that_of_an_fp32_base_up_to_rounding(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    first = {}
    for kept in ("fp32", "bf16"):
        config = small_config(dtype="bf16", base_dtype=kept, max_steps=1)
        first[kept] = read_steps(train_sft(tiny, config, chats, tmp_path / kept).path / LOG)[0].loss
    assert first["bf16"] == pytest.approx(first["fp32"], rel=2e-2)
