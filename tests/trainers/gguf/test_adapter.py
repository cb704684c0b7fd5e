"""A LoRA adapter as a GGUF file, laid over its base in llama.cpp, answers as it does in PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, ExportError
from assay.trainers.gguf import export_adapter, export_gguf
from assay.trainers.gguf.native import NativeAdapter, NativeContext, NativeModel
from tests.trainers.gguf.models import make_llama
from tests.trainers.gguf.test_gguf import IDS
from tests.trainers.merge.test_kinds import random_adapter

pytestmark = [pytest.mark.train, pytest.mark.gguf]


def laid_over(base: Path, adapter: Path) -> Any:
    with NativeModel(base) as model:
        layer = NativeAdapter(model, adapter)
        context = NativeContext(model, rows=1, tokens_per_row=64, batch_tokens=64, threads=1)
        try:
            context.use(layer)
            n = len(IDS)
            return context.decode(IDS, range(n), [0] * n, [True] * n).copy()
        finally:
            context.close()
            layer.close()


def peft_logits(adapter: Artifact) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert adapter.parent is not None
    base = AutoModelForCausalLM.from_pretrained(str(adapter.parent.path), dtype=torch.float32)
    with torch.inference_mode():
        before = base(torch.tensor([IDS])).logits[0].numpy()
        return PeftModel.from_pretrained(base, str(adapter.path))(torch.tensor([IDS])).logits[
            0
        ].numpy(), before


@pytest.mark.parametrize(
    ("architecture", "kind"), [("qwen2", "lora"), ("qwen2", "rslora"), ("llama", "lora")]
)
def test_logits_equal_pefts(tiny: Artifact, tmp_path: Path, architecture: str, kind: str) -> None:
    """llama's queries are turned in GGUF, and so must be the adapter's."""
    import numpy as np

    base = tiny if architecture == "qwen2" else make_llama(tmp_path / "llama")
    adapter = random_adapter(base, tmp_path / "adapter", kind)
    file = export_gguf(base, tmp_path / "base.gguf", "f32").path
    made = export_adapter(adapter, tmp_path / "adapter.gguf", over=file)
    expected, before = peft_logits(adapter)
    spread = expected.std()
    assert np.abs(laid_over(file, made.path) - expected).max() < 0.02 * spread
    assert np.abs(before - expected).max() > 0.5 * spread


def test_proved_on_a_base_made_for_it(tiny: Artifact, tmp_path: Path) -> None:
    adapter = random_adapter(tiny, tmp_path / "adapter", "lora")
    made = export_adapter(adapter, tmp_path / "out" / "adapter.gguf")
    assert made.parent == adapter
    assert sorted(p.name for p in made.path.parent.iterdir()) == [
        "adapter.gguf",
        "adapter.gguf.artifact.json",
    ]


def test_over_another_base_it_is_refused(tiny: Artifact, tmp_path: Path) -> None:
    other = export_gguf(make_llama(tmp_path / "llama"), tmp_path / "llama.gguf", "f16")
    adapter = random_adapter(tiny, tmp_path / "adapter", "lora")
    with pytest.raises(ExportError, match=r"refuses the adapter file over llama\.gguf"):
        export_adapter(adapter, tmp_path / "adapter.gguf", over=other.path)
    assert not (tmp_path / "adapter.gguf").exists()


@pytest.mark.parametrize(
    ("kind", "says"), [("dora", "DoRA magnitudes"), ("bias", "trained biases"), ("loha", "is a LOHA adapter")]
)
def test_what_the_format_has_no_place_for_is_refused(
    tiny: Artifact, tmp_path: Path, kind: str, says: str
) -> None:
    adapter = random_adapter(tiny, tmp_path / "adapter", kind)
    with pytest.raises(ExportError, match=says):
        export_adapter(adapter, tmp_path / "adapter.gguf")
