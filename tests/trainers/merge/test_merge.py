"""Merging: W + (alpha/r)·B·A written out, loadable by anyone, and answering as the adapter does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, ArtifactError, ArtifactKind, identify
from assay.trainers.merge import merge_adapter

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def merged(adapter: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return merge_adapter(adapter, tmp_path_factory.mktemp("merge") / "merged")


def test_the_merged_model_answers_as_the_adapter(
    adapter: Artifact, merged: Artifact, logits_of: Callable[[Any], Any]
) -> None:
    """In fp32 the two differ by rounding of another order of sums only."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert adapter.parent is not None
    base = AutoModelForCausalLM.from_pretrained(str(adapter.parent.path), dtype=torch.float32)
    before = logits_of(base)
    with_adapter = logits_of(PeftModel.from_pretrained(base, str(adapter.path)))
    alone = AutoModelForCausalLM.from_pretrained(str(merged.path), dtype=torch.float32)
    difference = (logits_of(alone) - with_adapter).abs().max()
    assert difference < 1e-3 < (before - with_adapter).abs().max()


def test_the_record_tells_the_whole_descent(adapter: Artifact, merged: Artifact) -> None:
    assert merged.kind is ArtifactKind.MERGED
    assert merged.parent == adapter
    assert "fp32" in merged.recipe
    assert identify(merged.path) == merged


@pytest.mark.slow
def test_the_folder_loads_without_peft(merged: Artifact) -> None:
    """In an interpreter where importing peft fails."""
    code = f"""
import sys
sys.modules["peft"] = None
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(merged.path)!r})
ids = tokenizer.apply_chat_template([dict(role="user", content="hi")], return_tensors="pt", return_dict=True)
assert AutoModelForCausalLM.from_pretrained({str(merged.path)!r})(**ids).logits.isfinite().all()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_only_an_adapter_merges(tiny: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is of kind base"):
        merge_adapter(tiny, tmp_path)
