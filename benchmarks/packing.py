"""What packing is worth: tokens/s of one epoch over the same chats, packed, sorted by length and neither, interleaved.

    python -m benchmarks.packing [--rounds 5] [--records 384] [--max-length 256] [--json FILE]

All three train on the same tokens of the same chats (asserted) with the same model; a step takes about as many tokens
in each. What differs is padding, and the attention mask. Wall time is of the steps alone, without loading and saving;
CPU time is of the whole loop, and steadier on a machine that is shared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from assay.harness.models.resolve import resolve_model
from assay.trainers import Artifact, DataConfig, Records, SftConfig, load_records
from assay.trainers.run.log import LOG, read_steps
from assay.trainers.run.runtime import bound_compiled_products, quiet_libraries

ARMS: dict[str, dict[str, Any]] = {
    "padded": {},
    "by length": {"group_by_length": True},
    "packed": {"packing": True},
}


@dataclass(frozen=True, slots=True)
class Epoch:
    """One arm's epoch. `trained_tokens` have a loss, `tokens` are all without padding, `slots` are with padding."""

    arm: str
    tokens: int
    trained_tokens: int
    slots: int
    steps: int
    wall_s: float
    cpu_s: float


def epoch(arm: str, base: Artifact, records: Records, max_length: int, dtype: str, chats: int) -> Epoch:
    """Train one epoch and count. Packed sequences are full, so fewer of them make a step of as many tokens."""
    from assay.trainers.methods.sft import build_trainer

    mean_tokens = _mean_tokens(base, records)
    batch = max(1, round(chats * mean_tokens / max_length)) if arm == "packed" else chats
    config = SftConfig.model_validate(
        {"method": "sft", "learning_rate": 1e-3, "max_length": max_length, "batch_size": batch, "dtype": dtype,
         "save_steps": 10**6} | ARMS[arm]
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="packing-"))
    try:
        with quiet_libraries():
            trainer = build_trainer(base, config, records, folder)
            batches = list(trainer.get_train_dataloader())
            cpu = time.process_time()
            trainer.train()
            cpu = time.process_time() - cpu
        steps = read_steps(folder / LOG)
    finally:
        shutil.rmtree(folder)
    before = [0, *(s.tokens for s in steps)]
    wall_s = sum((s.tokens - b) / s.tok_per_s for s, b in zip(steps, before, strict=False))
    return Epoch(
        arm,
        tokens=steps[-1].tokens,
        trained_tokens=sum(int((b["labels"] != -100).sum()) for b in batches),
        slots=sum(b["input_ids"].numel() for b in batches),
        steps=len(steps),
        wall_s=wall_s,
        cpu_s=cpu,
    )


def _mean_tokens(base: Artifact, records: Records) -> float:
    from assay.trainers.data.encode import encode
    from assay.trainers.templates import choose_template, load_tokenizer

    tokenizer = load_tokenizer(base)
    return encode(records.kept, tokenizer, choose_template(tokenizer), "all").tokens / len(records.kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--records", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16, help="chats a step where they are not packed")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bound_compiled_products()
    base, records = resolve_model(options.model), load_records(DataConfig(suite="pocket", n=options.records))
    rounds: list[list[Epoch]] = []
    for number in range(options.rounds + 1):  # the first warms up and is left out
        found = [epoch(arm, base, records, options.max_length, options.dtype, options.batch) for arm in ARMS]
        if len({(e.tokens, e.trained_tokens) for e in found}) != 1:
            raise SystemExit(f"the arms trained on different tokens: {found}")
        if number:
            rounds.append(found)
    report(rounds)
    if options.json:
        options.json.write_text(json.dumps([[asdict(e) for e in r] for r in rounds], indent=1) + "\n")


def report(rounds: list[list[Epoch]]) -> None:
    print(
        f"{'arm':<10} {'tokens':>7} {'padding':>8} {'steps':>6} {'tok/s wall':>11} {'tok/s CPU':>10}  "
        "times as fast as padded (median of the rounds, range)"
    )
    for i, arm in enumerate(ARMS):
        epochs = [r[i] for r in rounds]
        ratios = sorted((r[0].cpu_s / r[0].tokens) / (r[i].cpu_s / r[i].tokens) for r in rounds)
        wall_ratios = sorted((r[0].wall_s / r[0].tokens) / (r[i].wall_s / r[i].tokens) for r in rounds)
        one = epochs[0]
        print(
            f"{arm:<10} {one.tokens:>7} {1 - one.tokens / one.slots:>8.1%} {one.steps:>6} "
            f"{median(e.tokens / e.wall_s for e in epochs):>11,.0f} "
            f"{median(e.tokens / e.cpu_s for e in epochs):>10,.0f}  "
            f"wall {median(wall_ratios):.2f} ({wall_ratios[0]:.2f}–{wall_ratios[-1]:.2f}), "
            f"CPU {median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
