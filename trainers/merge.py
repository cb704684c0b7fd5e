"""Merge an adapter into its base: one folder that loads without peft."""

from __future__ import annotations

from pathlib import Path

from trainers.artifact import Artifact, ArtifactKind, describe, model_folder
from trainers.errors import ArtifactError, MissingExtraError
from trainers.quiet import quiet_libraries
from trainers.threads import let_idle_threads_sleep


def merge_adapter(adapter: Artifact, out: Path) -> Artifact:
    """Write W + (alpha/r)·B·A in `out` as safetensors, with the tokenizer, in fp32.

    The sum is made and kept in fp32 even where the base is stored in bf16: rounding the sum to bf16's eight bits
    loses small deltas, and then what is measured on the merged model would be the rounding, not the merge. The
    export decides how many bits to keep.
    """
    if adapter.kind is not ArtifactKind.ADAPTER:
        raise ArtifactError(f"only an adapter can be merged; {adapter.path} is of kind {adapter.kind}")
    base = model_folder(adapter)
    let_idle_threads_sleep()
    try:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as e:
        raise MissingExtraError(e.name or "peft", "train") from e
    with quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, str(adapter.path)).merge_and_unload(safe_merge=True)
        out.mkdir(parents=True, exist_ok=True)
        merged.save_pretrained(str(out))
        AutoTokenizer.from_pretrained(str(base)).save_pretrained(str(out))
    recipe = "PEFT merge_and_unload in fp32, saved as fp32 safetensors"
    return describe(ArtifactKind.MERGED, out, adapter, recipe)
