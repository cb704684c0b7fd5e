"""What a live model really holds, component by component, under the names that the prediction uses.

Bytes are counted on the tensors themselves, so they are exact whatever allocator holds them, on the CPU as on a GPU.
What lives only inside a kernel (scratch of a product, tiles of a loss) is in no tensor to be counted: it shows in the
peak alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.generation.hf import TorchEngine
from trainers.quantize import quantized_layers, weight_bytes

WEIGHTS = ("linear weights", "embedding", "output head", "norms and biases", "adapter")


def weights_of(model: Any) -> dict[str, int]:
    """Bytes of the parameters by component, a tied one once; a quantised matrix with its scales."""
    import torch

    found = dict.fromkeys(WEIGHTS, 0)
    rounded = {id(m.weight): weight_bytes(m) for m in quantized_layers(model).values()}
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    for name, parameter in model.named_parameters():  # each tensor once, the embedding before the head
        found[_part(name, parameter, embeddings)] += rounded.get(id(parameter), parameter.nbytes)
    return {name: n for name, n in found.items() if n}


def _part(name: str, parameter: Any, embeddings: set[int]) -> str:
    if ".lora_" in name:
        return "adapter"
    if id(parameter) in embeddings:
        return "embedding"
    if name.endswith("lm_head.weight"):
        return "output head"
    return "linear weights" if parameter.dim() > 1 else "norms and biases"


def cache_of(engine: TorchEngine) -> dict[str, int]:
    """The cache that the engine's last rows had room in."""
    return {"KV cache": engine.cache_bytes} if engine.cache_bytes else {}


def state_of(optimizer: Any) -> int:
    """Bytes of an optimiser's state; its counters of steps left out."""
    import torch

    states: Iterable[dict[str, Any]] = optimizer.state.values()
    tensors = {
        value.data_ptr(): value
        for state in states
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and name != "step" and not name.startswith("qmap")
    }
    return sum(t.nbytes for t in tensors.values())


class Gradients:
    """The most bytes of gradients that an optimiser was handed, over its steps."""

    def __init__(self, optimizer: Any) -> None:
        self.most = 0
        self._handle = optimizer.register_step_pre_hook(self._before_step)

    def close(self) -> None:
        self._handle.remove()

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        held = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        self.most = max(self.most, sum(g.nbytes for g in held))


class Kept:
    """Within the block: bytes of the storages that autograd keeps for the backward pass, each once, those of `known`
    tensors left out. Checkpointed blocks keep theirs where no hook sees them."""

    def __init__(self, known: Iterable[Any]) -> None:
        import torch

        self._known = {_storage(tensor) for tensor in known}
        self._kept: dict[int, Any] = {}  # held, so that no address is used twice
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def __enter__(self) -> Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.__exit__(*raised)

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self._kept.values())

    def _pack(self, tensor: Any) -> Any:
        if _storage(tensor) not in self._known:
            self._kept.setdefault(_storage(tensor), tensor.untyped_storage())
        return tensor


def _storage(tensor: Any) -> int:
    return int(tensor.untyped_storage()._cdata)
