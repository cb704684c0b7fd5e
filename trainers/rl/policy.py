"""The policy: a causal language model and a value head on one backbone, its reference, and the run's checkpoints."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.trainers.artifact import Artifact
from assay.trainers.config.rl import PpoConfig
from assay.trainers.errors import TrainingError
from assay.trainers.files import publish
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import Prepare, parameter_bytes, prepare_model
from assay.trainers.rl.objective import KlController
from assay.trainers.run.folder import newest_checkpoint, step_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# In a folder of its own: a model's answers do not depend on it.
VALUE_HEAD = "value_head/value_head.safetensors"
_POLICY = "policy.safetensors"
_OPTIMIZER = "optimizer.pt"
_STATE = "state.json"
CHECKPOINT_FILES = (_POLICY, VALUE_HEAD, _OPTIMIZER, _STATE)


class Episode(NamedTuple):
    """One answer as the policy reads it: token ids of the prompt and of its own actions."""

    prompt_ids: Sequence[int]
    action_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Episodes side by side, padded on the right.

    `ids` and `attention` are [rows, prompt + actions]; `actions` and `mask` are [rows, actions], from each row's first
    action on; `at` [rows, actions] is the position in `ids` whose output chooses the action.
    """

    ids: Tensor
    attention: Tensor
    actions: Tensor
    mask: Tensor
    at: Tensor

    def rows(self, index: Tensor) -> Batch:
        """Some of the rows, without the padding that none of them needs."""
        width = int(self.attention[index].sum(1).max())
        steps = int(self.mask[index].sum(1).max())
        return Batch(
            self.ids[index, :width],
            self.attention[index, :width],
            self.actions[index, :steps],
            self.mask[index, :steps],
            self.at[index, :steps],
        )

    @property
    def steps(self) -> int:
        return int(self.mask.shape[1])


class PolicyOutput(NamedTuple):
    """The result of a forward pass for each action: log π(action), V(state before it), entropy of π there; fp32."""

    logp: Tensor
    value: Tensor
    entropy: Tensor


def make_batch(episodes: Sequence[Episode], pad_id: int, device: Any = "cpu") -> Batch:
    """Return the episodes as one batch. Raises TrainingError for an episode without an action."""
    import torch

    if any(not e.action_ids or not e.prompt_ids for e in episodes):
        raise TrainingError("an episode has no prompt or no action; at least one token each is needed")
    pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    sequences = [torch.tensor([*e.prompt_ids, *e.action_ids]) for e in episodes]
    actions = [torch.tensor([*e.action_ids]) for e in episodes]
    batch = Batch(
        ids=pad(sequences, padding_value=pad_id),
        attention=pad([torch.ones_like(ids) for ids in sequences]),
        actions=pad(actions),
        mask=pad([torch.ones(len(ids)) for ids in actions]),
        at=pad([torch.arange(len(prompt) - 1, len(prompt) + len(taken) - 1) for prompt, taken in episodes]),
    )
    return replace(batch, **{f.name: getattr(batch, f.name).to(device) for f in fields(batch)})


class Policy:
    """A model with a value head: a PeftModel, or a full model with a frozen `copy` of its start as the reference.

    Log-probabilities are of softmax(logits / `temperature`), the distribution that answers are drawn from.
    `value_reaches_backbone` says whether the value loss may change the backbone or trains its head alone.
    """

    def __init__(
        self,
        model: Any,
        *,
        copy: Any = None,
        temperature: float = 1.0,
        value_reaches_backbone: bool = True,
        bf16: bool = False,
    ) -> None:
        import torch

        self.model = model
        self.copy = copy
        self.temperature = temperature
        self.value_reaches_backbone = value_reaches_backbone
        self._bf16 = bf16
        causal = self.causal
        width = int(causal.config.get_text_config().hidden_size)
        self.value_head = torch.nn.Linear(width, 1, device=causal.device, dtype=torch.float32)
        torch.nn.init.zeros_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)

    @property
    def causal(self) -> Any:
        """The causal language model itself, adapter layers and all."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def device(self) -> Any:
        return self.causal.device

    def see(self, batch: Batch, *, model: Any = None) -> PolicyOutput:
        """One forward pass. Outputs are computed at the actions only: a prompt needs no logits."""
        import torch

        causal = self.causal if model is None else model
        kind = causal.device.type
        with torch.autocast(kind, torch.bfloat16) if self._bf16 else nullcontext():
            hidden = causal.base_model(
                input_ids=batch.ids, attention_mask=batch.attention, use_cache=False
            ).last_hidden_state
            rows = torch.arange(len(batch.ids), device=hidden.device)[:, None]
            states = hidden[rows, batch.at]
            logits = causal.get_output_embeddings()(states).float() / self.temperature
        log_p = logits.log_softmax(-1)
        logp = log_p.gather(-1, batch.actions[..., None])[..., 0]
        entropy = -(log_p.exp() * log_p).sum(-1)
        states = states if self.value_reaches_backbone else states.detach()
        value = self.value_head(states.float())[..., 0]
        return PolicyOutput(logp * batch.mask, value * batch.mask, entropy * batch.mask)

    def see_all(self, batch: Batch, rows_at_once: int) -> tuple[PolicyOutput, Tensor]:
        """Return the policy's output and the reference's log π on the batch, without gradient, some rows at a time."""
        import torch

        kept = [torch.zeros_like(batch.mask) for _ in range(4)]
        with torch.no_grad():
            for index in torch.arange(len(batch.ids), device=batch.ids.device).split(rows_at_once):
                piece = batch.rows(index)
                seen = self.see(piece)
                with self.reference() as reference:
                    ref_logp = self.see(piece, model=reference).logp
                for target, values in zip(kept, (*seen, ref_logp), strict=True):
                    target[index, : piece.steps] = values
        return PolicyOutput(*kept[:3]), kept[3]

    @contextmanager
    def reference(self) -> Iterator[Any]:
        """Give the frozen model: the copy, or the policy with its adapter off for the time of the block."""
        if self.copy is not None:
            yield self.copy
            return
        with self.model.disable_adapter():
            yield self.causal

    def reference_bytes(self) -> int:
        """Return what the reference costs beyond the policy in bytes: 0 with the adapter off."""
        return 0 if self.copy is None else parameter_bytes(self.copy)

    def recompute_activations(self) -> None:
        """Switch on gradient checkpointing in the layers that have it; transformers' do it in training mode only.
        The rest stays as it draws, without dropout; `model.eval()` ends it."""
        for module in self.model.modules():
            if getattr(module, "gradient_checkpointing", False):
                module.training = True

    def trainable(self) -> list[torch.nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def state(self) -> dict[str, Tensor]:
        """Return the trained parameters by name, without the value head (`save_value_head`)."""
        return {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put the parameters of `state` back. Raises TrainingError where the names are not this policy's."""
        import torch

        own = self.state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[:3]
            raise TrainingError(
                f"the checkpoint is of another policy: {', '.join(odd)} are in one and not the other"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(state[name])


def make_policy(base: Artifact, config: PpoConfig, prepare: Prepare = prepare_model) -> Policy:
    """Return the prepared model with a value head; its reference is the adapter switched off, or a copy."""
    import torch

    dtype = arithmetic(config)
    model = prepare(base, config, dtype, "sdpa")
    if config.quantization is None:  # a quantised model is on its device already
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    frozen = None
    if config.reference == "copy":
        frozen = copy.deepcopy(model) if config.full else _copy_of_base(model)
        frozen.eval().requires_grad_(False)
    if config.checkpoints(gpu=torch.cuda.is_available()):
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    return Policy(
        model,
        copy=frozen,
        temperature=config.rollout.temperature,
        value_reaches_backbone=config.value_reaches_backbone,
        bf16=dtype == "bf16",
    )


def _copy_of_base(model: Any) -> Any:
    """Return a copy of the base under a PeftModel, with the adapter's layers taken off."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    with model.disable_adapter():
        base = copy.deepcopy(model.get_base_model())
    for name, module in list(base.named_modules()):
        if isinstance(module, BaseTunerLayer):
            parent, _, leaf = name.rpartition(".")
            setattr(base.get_submodule(parent), leaf, module.get_base_layer())
    return base


def save_value_head(policy: Policy, folder: Path) -> None:
    """Write the value head into `folder`."""
    target = folder / VALUE_HEAD
    target.parent.mkdir(parents=True, exist_ok=True)
    _save_tensors(policy.value_head.state_dict(), target)


def _save_tensors(tensors: dict[str, Tensor], file: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(file))


def load_value_head(policy: Policy, folder: Path) -> None:
    """Load the value head from `folder`. Raises TrainingError where there is none, or one of another width."""
    from safetensors.torch import load_file

    source = folder / VALUE_HEAD
    if not source.is_file():
        raise TrainingError(f"{folder} holds no value head ({VALUE_HEAD}); only ppo leaves one")
    state = load_file(str(source))
    if state["weight"].shape != policy.value_head.weight.shape:
        raise TrainingError(
            f"{source}: a head for states of width {state['weight'].shape[1]}, the model's are "
            f"{policy.value_head.weight.shape[1]} wide"
        )
    policy.value_head.load_state_dict(state)


def save_checkpoint(
    folder: Path, step: int, policy: Policy, optimizer: Any, controller: KlController, keep: int
) -> None:
    """Write `folder/checkpoint-<step>` at once, and remove all but the newest `keep`.

    A checkpoint holds everything that decides the later steps.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"checkpoint-{step}"
    shutil.rmtree(target, ignore_errors=True)
    with publish(target) as part:
        part.mkdir()
        _save_tensors(policy.state(), part / _POLICY)
        save_value_head(policy, part)
        torch.save(optimizer.state_dict(), part / _OPTIMIZER)
        (part / _STATE).write_text(json.dumps({"step": step, "kl_coefficient": controller.coefficient}))
    for old in sorted(folder.glob("checkpoint-*"), key=step_of)[:-keep]:
        shutil.rmtree(old)


def load_newest(folder: Path, policy: Policy, optimizer: Any, controller: KlController) -> int:
    """Restore the state after the newest checkpoint's step, and return that step; 0 where there is none."""
    import torch
    from safetensors.torch import load_file

    for abandoned in folder.glob(".checkpoint-*.part"):  # of a process that was killed while writing
        shutil.rmtree(abandoned)
    newest = newest_checkpoint(folder, CHECKPOINT_FILES)
    if newest is None:
        return 0
    policy.load_state(load_file(str(newest / _POLICY)))
    load_value_head(policy, newest)
    optimizer.load_state_dict(torch.load(newest / _OPTIMIZER, weights_only=True))
    controller.coefficient = float(json.loads((newest / _STATE).read_text())["kl_coefficient"])
    return step_of(newest)
