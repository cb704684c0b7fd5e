"""The watch over a training run: every logged step goes to a file and to the caller, and a lost run is stopped.

A run is lost when its loss or gradient is not finite, or when its loss has jumped and stays up. A **spike** is a logged
loss above `spike_factor` times the median of the last `window` good ones and at least `spike_margin` nats above it;
`patience` of them in a row stop the run. The median forgets a single bad batch, the margin keeps a loss near zero from
raising an alarm over nothing, and losses of a spike never enter the median. Until five good losses are known there is
nothing to compare with, and no spike.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from assay.trainers.artifact import stored_tensors
from assay.trainers.config.common import AlarmTable
from assay.trainers.errors import TrainingError
from assay.trainers.run import log as run_log
from assay.trainers.run.folder import step_of

_ENOUGH = 5


@dataclass(slots=True)
class Watch:
    """The state of the alarms over one run, which takes its logged steps in order.

    With a gradient scaler at work (`scaled`, fp16) only the loss is watched: the scaler meets infinite gradients by
    design and skips those steps. `last_good` is the last step before trouble began.
    """

    table: AlarmTable
    scaled: bool = False
    last_good: int = 0
    _losses: deque[float] = field(default_factory=deque)
    _in_a_row: int = 0

    def see(self, step: run_log.TrainingStep) -> str | None:
        """Return what is wrong at this step, or None."""
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
        self._losses = deque([*self._losses, step.loss], self.table.window)
        self.last_good = step.step
        return None


def step_callback(
    out: Path,
    checkpoints: Path,
    alarms: AlarmTable,
    on_step: run_log.OnStep | None = None,
    *,
    scaled: bool = False,
) -> Any:
    """Return the transformers.TrainerCallback that logs into the folder `out` and raises TrainingError on an alarm.

    Steps are logged at the configured cadence and wherever a checkpoint is saved; the end is evaluated too. Made after
    the log has been cut back to where a resumed run goes on, and continues it.
    """
    import torch
    from transformers import TrainerCallback

    logged = run_log.read_steps(out / run_log.LOG)
    cuda = torch.cuda.is_available()

    class StepLog(TrainerCallback):  # type: ignore[misc]  # the hook that transformers offers
        def __init__(self) -> None:
            self.watch = Watch(alarms, scaled)
            for step in logged:
                self.watch.see(step)
            self.began = time.monotonic()
            self.busy_s = 0.0
            self.rate = math.nan
            # TRL counts from 0 again in a resumed run; the log says what was read before.
            self.before = logged[-1].tokens if logged else 0
            self.tokens = self.before
            self.best = min(
                (point.loss for point in run_log.read_evals(out / run_log.EVAL_LOG)), default=math.inf
            )

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.monotonic()

        def on_pre_optimizer_step(self, *_: Any, optimizer: Any, **__: Any) -> None:
            # the highest of the groups' rates: transformers logs that of the first, the embedding
            self.rate = max(float(group["lr"]) for group in optimizer.param_groups)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.busy_s += time.monotonic() - self.began
            if control.should_save:
                # A resumed run begins a new mean here, and so does one that was not killed.
                control.should_log = True
            if state.global_step >= state.max_steps and args.do_eval:
                control.should_evaluate = True

        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" not in logs:
                return
            # A count in the trainer's state goes on after a kill; TRL's own begins anew.
            tokens = int(state.num_input_tokens_seen) or self.before + int(logs.get("num_tokens", 0))
            step = run_log.TrainingStep(
                step=state.global_step,
                total_steps=state.max_steps,
                epoch=float(logs.get("epoch", 0.0)),
                loss=float(logs["loss"]),
                learning_rate=self.rate,
                grad_norm=float(logs.get("grad_norm", math.nan)),
                tokens=tokens,
                tok_per_s=max(tokens - self.tokens, 0) / max(self.busy_s, 1e-9),
                rss_bytes=run_log.rss_bytes(),
                vram_bytes=int(torch.cuda.max_memory_allocated()) if cuda else None,
            )
            self.tokens, self.busy_s = tokens, 0.0
            run_log.append_step(out / run_log.LOG, step)
            if on_step is not None:
                on_step(step)
            if (trouble := self.watch.see(step)) is not None:
                raise TrainingError(_stopped(trouble, step, checkpoints, self.watch.last_good))

        def on_evaluate(
            self, _args: Any, state: Any, _control: Any, metrics: dict[str, float], **_: Any
        ) -> None:
            loss = float(metrics["eval_loss"])
            point = run_log.EvalPoint(
                step=state.global_step,
                loss=loss,
                seconds=float(metrics.get("eval_runtime", math.nan)),
                best=loss < self.best,
            )
            self.best = min(self.best, loss)
            run_log.append_step(out / run_log.EVAL_LOG, point)

    return StepLog()


def _stopped(trouble: str, step: run_log.TrainingStep, checkpoints: Path, last_good: int) -> str:
    good = last_good_checkpoint(checkpoints, last_good)
    kept = (
        "no good checkpoint was saved before it: a smaller save_steps keeps one"
        if good is None
        else f"the last good checkpoint is {good}"
    )
    return (
        f"{trouble}; {kept}. Lower learning_rate ({step.learning_rate:g} at this step) or max_grad_norm, warm up "
        "longer, or train in fp32"
    )


def last_good_checkpoint(folder: Path, step: int) -> Path | None:
    """Return the newest checkpoint up to `step` whose weights are all finite; None where there is none.

    A finite loss does not vouch for the weights after its step: the update may have ruined them.
    """
    checkpoints = [path for path in folder.glob("checkpoint-*") if step_of(path) <= step]
    return next((path for path in sorted(checkpoints, key=step_of, reverse=True) if _finite(path)), None)


def _finite(checkpoint: Path) -> bool:
    import torch
    from safetensors import SafetensorError

    weights = (file.get_tensor(name) for name, file in stored_tensors(checkpoint))
    try:
        finite = [bool(torch.isfinite(weight.float()).all()) for weight in weights]
    except (OSError, SafetensorError):
        return False
    return bool(finite) and all(finite)
