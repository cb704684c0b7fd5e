"""When a training run is lost: a loss or a gradient that is no number, and a loss that has jumped and stays up.

A **spike** is a logged loss above `spike_factor` times the median of the last `window` good ones and at least
`spike_margin` nats above it; `patience` of them in a row stop the run. The median forgets a single bad batch, the
margin keeps a loss near zero from raising an alarm over nothing, and losses of a spike never enter the median. Until
five good losses are known there is nothing to compare with, and no spike.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from trainers.config.watch import AlarmTable
from trainers.steplog import TrainingStep

_ENOUGH = 5


@dataclass(slots=True)
class Watch:
    """The state of the alarms over one run, fed with its logged steps in order.

    `scaled` says that a gradient scaler is at work (fp16): it meets infinite gradients by design and skips those
    steps, so only the loss is watched.
    """

    table: AlarmTable
    scaled: bool = False
    last_good: int = 0
    _losses: deque[float] = field(default_factory=deque)
    _in_a_row: int = 0

    def replay(self, steps: Iterable[TrainingStep]) -> None:
        """Take in what a resumed run has logged before."""
        for step in steps:
            self.see(step)

    def see(self, step: TrainingStep) -> str | None:
        """What is wrong at this step, in words, or None. `last_good` is the last step before the trouble began."""
        if not math.isfinite(step.loss):
            return f"loss is {step.loss} at step {step.step}"
        if not self.scaled and not math.isfinite(step.grad_norm):
            return f"the gradient's norm is {step.grad_norm} at step {step.step}"
        if self.table.spikes and len(self._losses) >= min(_ENOUGH, self.table.window):
            usual = median(self._losses)
            if step.loss > max(self.table.spike_factor * usual, usual + self.table.spike_margin):
                self._in_a_row += 1
                if self._in_a_row < self.table.patience:
                    return None
                times = f" for {self._in_a_row} logged steps in a row" if self._in_a_row > 1 else ""
                return (
                    f"loss has jumped to {step.loss:.4g} at step {step.step}{times}; it was {usual:.4g} "
                    f"(the median of the last {len(self._losses)}), and more than {self.table.spike_factor:g} times "
                    f"and {self.table.spike_margin:g} nats above that is a spike"
                )
        self._in_a_row = 0
        self._losses.append(step.loss)
        while len(self._losses) > self.table.window:
            self._losses.popleft()
        self.last_good = step.step
        return None


def last_good_checkpoint(folder: Path, step: int) -> Path | None:
    """The newest checkpoint up to `step` whose weights are all finite; None where there is none.

    A finite loss does not vouch for the weights after its step: the update may have ruined them.
    """
    found = sorted((int(p.name.rpartition("-")[2]), p) for p in folder.glob("checkpoint-*"))
    for number, path in reversed(found):
        if number <= step and _finite(path):
            return path
    return None


def _finite(checkpoint: Path) -> bool:
    import torch
    from safetensors import SafetensorError, safe_open

    files = list(checkpoint.glob("*.safetensors"))
    try:
        for file in files:
            with safe_open(file, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118  # not a mapping
                    if not bool(torch.isfinite(weights.get_tensor(name).float()).all()):
                        return False
    except (OSError, SafetensorError):
        return False
    return bool(files)
