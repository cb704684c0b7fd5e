"""The path from a base model to a merged one, on a tiny random model in under a minute on one CPU core.

    python -m assay.trainers.example [FOLDER]

It shows the library's own calls: create a base, train an adapter, merge it, load the result. The model's answers mean
nothing. Each line that is printed has been checked before.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from assay.trainers import Artifact, ArtifactKind, Records, SftConfig
from assay.trainers.artifact import describe
from assay.trainers.data import records_from_jsonl
from assay.trainers.merge import merge_adapter
from assay.trainers.pocket.pretrain import build_model, read_recipe, train_tokenizer
from assay.trainers.run.facts import load_facts
from assay.trainers.run.process import train_alone
from assay.trainers.run.runtime import quiet_libraries

ROWS = [f'{{"prompt": "Add {i} to x.", "completion": "    return x + {i}"}}\n' for i in range(24)]
CONFIG = {
    "method": "sft",
    "adapter": {"type": "lora", "r": 8, "alpha": 16},
    "learning_rate": 1e-2,
    "batch_size": 4,
    "max_length": 128,
    "dtype": "fp32",
}
_LARGEST_DIFFERENCE = 1e-3  # of logits, between adapter and merged model, both in fp32


def run(folder: Path) -> None:
    """Create, train, merge and compare in `folder`, one line printed a stage. Raises SystemExit where a check fails."""
    import torch

    base = _random_base(folder / "base")
    print(f"base      {base.path}: random weights, of the pocket model's architecture")
    (folder / "chats.jsonl").write_text("".join(ROWS), encoding="utf-8")
    records = records_from_jsonl(folder / "chats.jsonl")
    print(f"data      {records.counts()}")
    adapter = _train(base, records, folder / "final")
    merged = merge_adapter(adapter, folder / "merged")
    with quiet_libraries():
        through_peft, alone = _logits(adapter), _logits(merged)
    difference = float((through_peft - alone).abs().max())
    if difference > _LARGEST_DIFFERENCE or not torch.isfinite(alone).all():
        raise SystemExit(f"the merged model's logits differ from the adapter's by {difference:g}")
    print(
        f"merged    {merged.path}: loads without peft, logits differ from the adapter's by {difference:.1e}"
    )


def _random_base(out: Path) -> Artifact:
    """Write an untrained model of the pocket model's architecture, a quarter as wide, with a tokenizer of its own."""
    texts = [f"Add {i} to x.\n    return x + {i}" for i in range(60)]
    recipe = read_recipe().model_copy(update={"hidden": 64, "feed_forward": 192, "layers": 2})
    tokenizer = train_tokenizer(texts, 384)
    with quiet_libraries():
        build_model(recipe, tokenizer).save_pretrained(str(out))
        tokenizer.save_pretrained(str(out))
    return describe(ArtifactKind.BASE, out, None, "random Qwen2")


def _train(base: Artifact, records: Records, out: Path) -> Artifact:
    losses: list[float] = []
    adapter = train_alone(
        base, SftConfig.model_validate(CONFIG), records, out, lambda step: losses.append(step.loss)
    )
    facts = load_facts(adapter.path)
    if facts is None or (losses and losses[-1] >= losses[0]):
        raise SystemExit(f"the loss did not fall: {losses}")
    print(
        f"adapter   {adapter.path}: {facts.trainable_parameters:,} of {facts.total_parameters:,} parameters, "
        f"{facts.steps} steps, last loss {facts.final_loss:.3f}"
    )
    return adapter


def _logits(artifact: Artifact) -> Any:
    """Return the logits of a fixed text: the adapter's through plain PEFT, the merged model's without it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parent = artifact.parent
    assert parent is not None
    tokenizer = AutoTokenizer.from_pretrained(str(artifact.path), trust_remote_code=False)
    ids = tokenizer("Add 7 to x.", return_tensors="pt")["input_ids"]
    if (artifact.path / "adapter_config.json").is_file():
        from peft import PeftModel

        base = AutoModelForCausalLM.from_pretrained(
            str(parent.path), dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
        model = PeftModel.from_pretrained(base, str(artifact.path))
    else:
        model = AutoModelForCausalLM.from_pretrained(
            str(artifact.path), dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    with torch.inference_mode():
        return model.eval()(ids).logits


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            run(Path(temporary))
