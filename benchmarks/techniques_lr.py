"""The learning rates of the technique lab: each technique at several multiples of its rate, judged by held-out loss.

    python -m benchmarks.techniques_lr [LAB] [--only NAME ...] [--factors 0.33 1 3 | --rates 1e-3 3e-3]

The held-out records are a tenth of the training records, which share no problem with the lab's test split; the rate
with the lowest loss on them is the lab's. One seed, which is none of the lab's. Prints a JSON line a run, then a table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from assay.harness.experiment import TrainVariant, find_experiment, load_experiment, sources_of
from assay.harness.models.resolve import resolve_model
from assay.trainers.config import TrainConfig, config_class
from assay.trainers.data import DataConfig, load_records
from assay.trainers.errors import TrainersError
from assay.trainers.run.log import EVAL_LOG
from assay.trainers.run.process import train_alone

SEED = 100


def held_out_loss(variant: TrainVariant, model: str, rate: float, folder: Path) -> float | None:
    """The loss on the held-out tenth after training at `rate`; None where the run was stopped by an alarm."""
    raw = variant.config | {"learning_rate": rate, "seed": SEED, "save_steps": 10_000}
    config: TrainConfig = config_class(raw).model_validate(raw)
    # a tenth more, so that as many are trained on as in the lab
    data = variant.data | {"n": round(variant.data["n"] / 0.9), "seed": SEED, "eval_fraction": 0.1}
    try:
        made = train_alone(
            resolve_model(model), config, load_records(DataConfig.model_validate(data)), folder
        )
    except TrainersError as error:
        print(json.dumps({"variant": variant.name, "learning_rate": rate, "stopped": str(error)}), flush=True)
        return None
    last = (made.path / EVAL_LOG).read_text(encoding="utf-8").splitlines()[-1]
    return float(json.loads(last)["loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab", nargs="?", default="techniques")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--factors", nargs="*", type=float, default=[1 / 3, 1, 3], help="of the lab's rate")
    parser.add_argument("--rates", nargs="*", type=float, default=[], help="instead of the factors")
    given = parser.parse_args()
    lab = load_experiment(find_experiment(given.lab))
    models = {v.name: v.model for v in lab.variant if hasattr(v, "model")}
    table: dict[str, dict[float, float | None]] = {}
    for variant in lab.variant:
        if not isinstance(variant, TrainVariant) or (given.only and variant.name not in given.only):
            continue
        own = variant.config["learning_rate"]
        for rate in given.rates or [float(f"{own * factor:.1g}") for factor in given.factors]:
            with tempfile.TemporaryDirectory() as folder:
                loss = held_out_loss(variant, models[sources_of(variant)[0]], rate, Path(folder) / "run")
            table.setdefault(variant.name, {})[rate] = loss
            print(json.dumps({"variant": variant.name, "learning_rate": rate, "loss": loss}), flush=True)
    for name, losses in table.items():
        said = ", ".join(f"{r:g}: {'stopped' if x is None else f'{x:.4f}'}" for r, x in losses.items())
        measured = {r: x for r, x in losses.items() if x is not None}
        best = f"best {min(measured, key=measured.__getitem__):g}" if measured else "none measured"
        print(f"{name:12s} {best:12s} held-out loss by rate: {said}")


if __name__ == "__main__":
    main()
