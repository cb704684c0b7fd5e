"""The training workload: steps of the trainers' own loops (`trainers`), on sequences of one stated length.

sft, dpo, kto and orpo are the trainers that `assay train` builds, ppo is ours with its rollouts. Only three things
differ from a training: where there are no weights, random ones are loaded; nothing is saved; and ppo's answers are all
of the length they may have and fail unexecuted. What is measured is one step: of ppo drawing, weighing and the epoch
over what was drawn, of the others the batch, forward, loss, backward, clipping and the optimiser.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from assay.harness.errors import BadInputError
from assay.harness.profiling.measure.inference import config_of, give_back, import_torch, tokens_of
from assay.harness.profiling.measure.job import Job, Recorder
from assay.harness.profiling.measure.predicted import Gradients, Kept, state_of, weights_of
from assay.harness.profiling.measure.random_weights import (
    WARM_UP_MODEL,
    EndlessSampler,
    chats,
    exercises,
    pairs,
    random_model,
    stand_in,
    unjudged,
)
from assay.harness.profiling.memory.architecture import FAMILIES
from assay.trainers.artifact import Artifact
from assay.trainers.config import CommonConfig, PpoConfig, SftConfig
from assay.trainers.model.precision import arithmetic, base_dtype, compute_dtype
from assay.trainers.model.prepare import Prepare, make_trainable, prepare_model
from assay.trainers.run.runtime import let_idle_threads_sleep, quiet_libraries

_BUILDERS = {
    "sft": "assay.trainers.methods.sft",
    "dpo": "assay.trainers.methods.dpo",
    "kto": "assay.trainers.methods.kto",
    "orpo": "assay.trainers.methods.orpo",
}

OnStep = Callable[[dict[str, Any]], None]


class Session(Protocol):
    """A training, built and not begun. `run` makes all its steps and reports the seconds of each."""

    model: Any

    def run(self, on_step: OnStep) -> None: ...

    def components(self) -> dict[str, int]:
        """Return the bytes by component of what the training held, after `run`."""
        ...


def measure_training(job: Job, recorder: Recorder) -> None:
    """Load and prepare, then `warmup + repeats` steps."""
    let_idle_threads_sleep()
    with TemporaryDirectory(prefix="assay-profile-") as folder, quiet_libraries():
        _measure(job, recorder, Path(folder))


def _measure(job: Job, recorder: Recorder, folder: Path) -> None:
    assert job.training is not None
    with recorder.phase("import"):
        import_torch(job, recorder)
        nobody = job.model_copy(update={"source": None, "random_config": WARM_UP_MODEL})
        _warm_up(nobody, WARM_UP_MODEL, folder / "import")
    config = config_of(job)
    if config.get("model_type") in FAMILIES:
        with recorder.phase("kernels"):  # as of inference: what the libraries keep for these shapes
            _warm_up(job, config, folder / "kernels")
    steps = job.warmup + job.repeats
    with recorder.phase("load"):
        began = time.perf_counter()
        session = _build(job, config, steps, folder / "run")
        recorder.wait()
        recorder.time(0, True, seconds=time.perf_counter() - began)
    recorder.fact(**_facts(job, session))
    with recorder.phase("train"):
        done = 0

        def on_step(seconds: dict[str, Any]) -> None:
            nonlocal done
            recorder.time(done, done >= job.warmup, **seconds)
            done += 1

        session.run(on_step)
    recorder.fact(components=session.components())


def _warm_up(job: Job, config: dict[str, Any], folder: Path) -> None:
    """Make two steps on one block of random weights, which are given back: the first step makes the optimiser's state,
    the second meets it.
    """
    session = _build(job, config, 2, folder, layers=1)
    session.run(lambda seconds: None)
    session.components()
    del session
    give_back()


def _facts(job: Job, session: Session) -> dict[str, Any]:
    assert job.training is not None
    model, training = session.model, job.training
    dtype = arithmetic(job.config())
    attention = str(model.config._attn_implementation)
    return {
        "backend": f"transformers, {attention} attention, {training.objective} by {training.method} in {dtype} on "
        f"{model.device}",
        "vocabulary": int(model.config.get_text_config().vocab_size),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "compute": dtype,
        "attention": attention,
    }


def _build(job: Job, config: dict[str, Any], steps: int, folder: Path, layers: int | None = None) -> Session:
    """Return the session of a job whose model has this config.json; `layers` of it, of random weights, where that is
    given.
    """
    folder.mkdir(parents=True)
    training = job.training
    assert training is not None
    table = job.config(steps)
    if job.source is None and training.objective in ("dpo", "kto") and training.method == "full":
        raise BadInputError(
            f"{training.objective} on all weights holds a second copy of the base, which is read from its folder: give "
            "a model with its weights, or train an adapter"
        )
    base = stand_in(config, folder / "base") if job.source is None else job.source.artifact()
    prepare = _prepare(job, config, layers)
    if isinstance(table, PpoConfig):
        return _Ppo(job, base, table, folder / "out", prepare)
    return _Trl(job, base, table, folder / "out", prepare)


def _prepare(job: Job, model_config: dict[str, Any], layers: int | None) -> Prepare:
    """Return what loads and prepares a training's base as the trainers do: with random weights where it has none, or
    where only some `layers` of it are made.
    """
    assert job.training is not None
    training = job.training

    def prepare(base: Artifact, table: CommonConfig, dtype: str, attention: str) -> Any:
        if training.attention != "auto":
            attention = training.attention
        if job.source is not None and layers is None:
            return prepare_model(base, table, dtype, attention)
        quantization = table.quantization
        model = random_model(
            model_config,
            device=job.device,
            dtype=(base_dtype if quantization is None else compute_dtype)(table, dtype),
            seed=job.seed,
            quantization=quantization,
            attention=attention,
            layers=layers,
        )
        return make_trainable(model, table)

    return prepare


def _synchronize() -> None:
    """Wait for the device to finish what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


class _Trl:
    """A training by the loops of transformers and TRL: sft, dpo, kto or orpo."""

    def __init__(self, job: Job, base: Artifact, config: CommonConfig, out: Path, prepare: Prepare) -> None:
        from assay.trainers.run.folder import seeded

        out.mkdir()
        rows = job.batch_size * int(config.max_steps or 1)
        with seeded(job.seed):
            data: Any = (chats if isinstance(config, SftConfig) else pairs)(rows, job.prompt_tokens)
            build = import_module(_BUILDERS[config.method]).build_trainer
            self.trainer = build(base, config, data, out, prepare=prepare)
        self.trainer.args.save_strategy = "no"
        self.model = self.trainer.model
        self._gradients: Gradients | None = None

    def run(self, on_step: OnStep) -> None:
        self.trainer.add_callback(_step_timer(self, on_step))
        self.trainer.train()

    def watch(self, optimizer: Any) -> None:
        self._gradients = Gradients(optimizer)

    def components(self) -> dict[str, int]:
        sizes = weights_of(self.model) | {"optimizer state": state_of(_bare(self.trainer.optimizer))}
        if self._gradients is not None:
            sizes["gradients"] = self._gradients.most
            self._gradients.close()
        reference = getattr(self.trainer, "ref_model", None)
        if reference is not None:
            sizes["reference model"] = sum(weights_of(reference).values())
        if not self.trainer.args.gradient_checkpointing:
            sizes["activations"] = self._kept()
        return sizes

    def _kept(self) -> int:
        """Return the bytes that one more forward pass keeps."""
        trainer, model = self.trainer, self.trainer.model
        model.train()
        inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
        with Kept(_fixed(model)) as kept:
            with trainer.compute_loss_context_manager():
                loss = trainer.compute_loss(trainer.model_wrapped, inputs)
            del loss
        return kept.bytes


def _bare(optimizer: Any) -> Any:
    """Return the optimiser that Accelerate wraps."""
    return getattr(optimizer, "optimizer", optimizer)


def _fixed(model: Any) -> list[Any]:
    """Return the tensors of a model; of quantised layers also their scales, which are no parameters or buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            tensors += [state.absmax, state.code]
            if state.nested:
                tensors += [state.state2.absmax, state.state2.code, state.offset]
    return tensors


def _step_timer(session: _Trl, on_step: OnStep) -> Any:
    from transformers import TrainerCallback

    class Timer(TrainerCallback):  # type: ignore[misc]  # the hook that transformers offers
        began = 0.0

        def on_train_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            session.watch(_bare(optimizer))

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            _synchronize()
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            _synchronize()
            on_step({"seconds": time.perf_counter() - self.began})

    return Timer()


class _Ppo:
    """A training by our own PPO, whose steps draw what they learn from."""

    def __init__(self, job: Job, base: Artifact, config: PpoConfig, out: Path, prepare: Prepare) -> None:
        from assay.trainers.methods.ppo import Ppo
        from assay.trainers.rl.policy import Episode, make_policy
        from assay.trainers.run.folder import seeded

        out.mkdir()
        with seeded(job.seed):
            policy = make_policy(base, config, prepare)
        self.model, self._config = policy.model, config
        vocabulary = int(policy.causal.config.get_text_config().vocab_size)
        rows = [tokens_of(job, row, vocabulary) for row in range(job.batch_size)]
        self._episodes = [Episode(row, row[:1] * job.new_tokens) for row in rows]
        self.sampler = EndlessSampler(policy.model, rows)
        problems = exercises(job.batch_size)
        self.ppo = Ppo(policy, self.sampler, problems, config, out, pad_id=0, decode=lambda ids: "")
        self._gradients = Gradients(self.ppo.optimizer)

    def run(self, on_step: OnStep) -> None:
        began = time.perf_counter()

        def on_update(step: Any) -> None:
            nonlocal began
            _synchronize()
            now = time.perf_counter()
            on_step({"seconds": now - began, "generate_s": step.generate_s, "train_s": step.train_s})
            began = now

        self.ppo.run(unjudged(), on_update)

    def components(self) -> dict[str, int]:
        policy = self.ppo.policy
        sizes = weights_of(policy.model) | {
            "value head": sum(p.nbytes for p in policy.value_head.parameters()),
            "optimizer state": state_of(self.ppo.optimizer),
            "gradients": self._gradients.most,
            "KV cache": self.sampler.engine.cache_bytes,
        }
        self._gradients.close()
        if policy.copy is not None:
            sizes["reference model"] = sum(weights_of(policy.copy).values())
        if not self._config.checkpoints(gpu=policy.device.type == "cuda"):
            sizes["activations"] = self._kept()
        return sizes

    def _kept(self) -> int:
        """Return the bytes that one more minibatch keeps, log-probabilities of the answers among them."""
        from assay.trainers.rl.policy import make_batch

        policy = self.ppo.policy
        batch = make_batch(self._episodes, 0, policy.device)
        known = [batch.ids, batch.attention, batch.actions, batch.mask, batch.at]
        with Kept([*known, *_fixed(policy.model), *policy.value_head.parameters()]) as kept:
            seen = policy.see(batch)
            del seen
        return kept.bytes
