"""The whole path on a tiny random model, in under a minute on one CPU core: make, train, merge, load again.

    python -m assay.trainers.example [FOLDER]

It shows the library's own calls; the model's answers mean nothing. Each line printed was checked where it is printed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from assay.trainers import Artifact, Records, SftConfig
from assay.trainers.data import records_from_jsonl
from assay.trainers.merge import merge_adapter
from assay.trainers.run.facts import load_facts
from assay.trainers.run.process import train_alone
from assay.trainers.run.runtime import quiet_libraries
from assay.trainers.tiny import make_tiny_model

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
    """Make, train, merge and compare in `folder`, one line printed a stage. Raises SystemExit where a check fails."""
    import torch

    texts = [f"Add {i} to x.\n    return x + {i}" for i in range(60)]
    base = make_tiny_model(folder / "base", texts)
    print(f"base      {base.path}: random, for trying the machinery")
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


def _train(base: Artifact, records: Records, out: Path) -> Artifact:
    losses: list[float] = []
    made = train_alone(
        base, SftConfig.model_validate(CONFIG), records, out, lambda step: losses.append(step.loss)
    )
    facts = load_facts(made.path)
    if facts is None or (losses and losses[-1] >= losses[0]):
        raise SystemExit(f"the loss did not fall: {losses}")
    print(
        f"adapter   {made.path}: {facts.trainable_parameters:,} of {facts.total_parameters:,} parameters, "
        f"{facts.steps} steps, last loss {facts.final_loss:.3f}"
    )
    return made


def _logits(artifact: Artifact) -> Any:
    """What the model makes of a fixed text: the adapter through plain PEFT, the merged model without it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parent = artifact.parent
    assert parent is not None
    tokenizer = AutoTokenizer.from_pretrained(str(artifact.path))
    ids = tokenizer("Add 7 to x.", return_tensors="pt")["input_ids"]
    if (artifact.path / "adapter_config.json").is_file():
        from peft import PeftModel

        base = AutoModelForCausalLM.from_pretrained(str(parent.path), dtype=torch.float32)
        model = PeftModel.from_pretrained(base, str(artifact.path))
    else:
        model = AutoModelForCausalLM.from_pretrained(str(artifact.path), dtype=torch.float32)
    with torch.inference_mode():
        return model.eval()(ids).logits


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            run(Path(temporary))
