"""Compare two models' weights tensor by tensor, up to what their storage types lose, and their other figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.harness.equivalence.states import EMBEDDING, HEAD, OnDemand, State, UnreadableError

Array = NDArray[np.float32]

# The largest relative error (Frobenius) that storing a tensor in a type may cause, about twice that of a Gaussian
# tensor. Anything beyond is another tensor.
LOSS = {
    "F32": 1e-5,
    "F16": 2e-3,
    "BF16": 8e-3,
    "int8": 0.03,
    "Q8_0": 0.02,
    "Q6_K": 0.05,
    "Q5_K": 0.09,
    "Q5_0": 0.09,
    "Q5_1": 0.09,
    "Q4_K": 0.17,
    "Q4_0": 0.2,
    "Q4_1": 0.17,
    "nf4": 0.2,
    "fp4": 0.25,
    "Q3_K": 0.35,
    "Q2_K": 0.7,
}
CHUNK = 1 << 20  # weights squared at a time, in fp64
_SAME = 1e-6  # relative: GGUF keeps fp32 figures
_MOST = 3  # tensors listed by name
SCALE_SLACK = 0.05  # rounding shrinks a tensor's own direction by about the square of its relative error


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """One tensor of two models.

    `rmse` is the root mean square of b − a; `relative` the same in units of a's own root mean square, which is
    ‖b − a‖/‖a‖ (Frobenius), and `allowed` the share that `type_a` and `type_b` may lose.
    """

    name: str
    type_a: str
    type_b: str
    rmse: float
    relative: float
    largest: float
    allowed: float

    @property
    def is_fault(self) -> bool:
        return not self.relative <= self.allowed


@dataclass(frozen=True, slots=True)
class Rounding:
    """The loss by coarser storage types.

    The means of `rmse` and `relative` are over the `tensors` that the second model keeps in a type that does not hold
    the first's values, and that moved; `worst` has the largest relative error.
    """

    tensors: int
    rmse_mean: float
    relative_mean: float
    worst: str
    rmse_worst: float
    relative_worst: float


@dataclass(frozen=True, slots=True)
class Weights:
    """The comparison of all tensors.

    `adapter_scale` is how much of the first model's adapter the second holds: the projection of its change from the
    base on the adapter's, 1 where it is merged as it was trained, ± `adapter_scale_se`; None without an adapter.
    `relative` is None where no tensor was compared. `unmeasured` are tensors that could not be read, with the reason.
    `learned`: the second was trained, so that its differences are not those of rounding.
    """

    tensors: tuple[TensorDifference, ...]
    relative: float | None
    adapter_scale: float | None
    adapter_scale_se: float | None
    faults: tuple[str, ...]
    unmeasured: dict[str, str] = field(default_factory=dict)
    learned: bool = False

    @property
    def rounding(self) -> Rounding | None:
        return None if self.learned else summarise_rounding(self.tensors)

    def to_json(self) -> dict[str, Any]:
        rounding = self.rounding
        return asdict(self) | {"rounding": None if rounding is None else asdict(rounding)}


def summarise_rounding(tensors: Sequence[TensorDifference]) -> Rounding | None:
    """Return the loss by rounding; None where nothing was rounded."""
    rounded = [t for t in tensors if t.type_b not in (t.type_a, "F32") and t.rmse > 0]  # F32 holds all values
    if not rounded:
        return None
    worst = max(rounded, key=lambda t: t.relative)
    return Rounding(
        tensors=len(rounded),
        rmse_mean=sum(t.rmse for t in rounded) / len(rounded),
        relative_mean=sum(t.relative for t in rounded) / len(rounded),
        worst=worst.name,
        rmse_worst=worst.rmse,
        relative_worst=worst.relative,
    )


def compare_weights(a: State, b: State, base: State | None = None, *, learned: bool = False) -> Weights:
    """Compare all tensors, one at a time in memory.

    `base` are the first model's weights without its adapter, under the same names. `learned`: the second model was
    trained, and is not meant to be the first.
    """
    names_a, names_b = a.tensors, b.tensors
    if (HEAD in names_a) != (HEAD in names_b):
        names_a, names_b = with_head(names_a), with_head(names_b)
    faults = [
        f"tensor {name} is {place} the second"
        for ours, others, place in ((names_a, names_b, "missing in"), (names_b, names_a, "only in"))
        for name in ours
        if name not in others and _matters(ours, name)
    ]
    tensors: list[TensorDifference] = []
    total_square, total_size = 0.0, 0.0
    unmeasured = {}
    projection = _Projection()
    for name in names_a:
        if name not in names_b:
            continue
        try:
            one, other = names_a[name], names_b[name]
        except UnreadableError as error:
            unmeasured[name] = str(error)
            continue
        if one.shape != other.shape:
            faults.append(f"tensor {name} has shape {list(other.shape)} instead of {list(one.shape)}")
            continue
        square, size, largest = _moved(one, other)
        total_square, total_size = total_square + square, total_size + size
        types = a.type_of(name), b.type_of(name)
        rmse, allowed = (square / max(1, one.size)) ** 0.5, max(LOSS.get(t, 0.0) for t in types)
        tensors.append(TensorDifference(name, *types, rmse, _relative(square, size), largest, allowed))
        if base is not None and name in base.tensors:
            projection.add(base.tensors[name], one, other)
    faults += _too_far(tensors)
    scale, se = projection.result()
    if scale is not None and se is not None and abs(scale - 1) > SCALE_SLACK + 4 * se:
        faults.append(f"the adapter is in the second at {scale:.2f} of its scale (± {se:.2f})")
    relative = _relative(total_square, total_size) if tensors else None
    return Weights(tuple(tensors), relative, scale, se, tuple(faults), unmeasured, learned)


def _moved(one: Array, other: Array) -> tuple[float, float, float]:
    """Return Σ(b − a)², Σa² and max|b − a|, in fp64."""
    a, b = one.reshape(-1), other.reshape(-1)
    square = size = largest = 0.0
    for start in range(0, a.size, CHUNK):
        part = a[start : start + CHUNK].astype(np.float64)
        difference = b[start : start + CHUNK] - part
        square += float(difference @ difference)
        size += float(part @ part)
        largest = float(np.maximum(largest, np.abs(difference).max()))  # unlike max(), keeps a NaN
    return square, size, largest


def with_head(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return the tensors with an output head, which in a tied model is its embedding.

    A head that is lost from an untied model is thereby compared as a runtime reads its absence.
    """
    if HEAD in tensors or EMBEDDING not in tensors:
        return tensors
    read = {name: partial(tensors.__getitem__, name) for name in tensors}
    return OnDemand(read | {HEAD: read[EMBEDDING]})


def _matters(tensors: Mapping[str, Array], name: str) -> bool:
    """Return whether a tensor does anything: a bias of zeros and rope divisors of ones may be left out."""
    try:
        values = tensors[name]
    except UnreadableError:
        return True
    neutral = 1.0 if name.startswith("rope_freqs") else 0.0
    return bool((values != neutral).any())


def _relative(square: float, size: float) -> float:
    if size == 0:
        return 0.0 if square == 0 else float("inf")
    return float((square / size) ** 0.5)


def _too_far(tensors: list[TensorDifference]) -> list[str]:
    bad = [t for t in tensors if t.is_fault]
    if not bad:
        return []
    worst = min(bad, key=lambda t: -t.relative)
    return [
        f"{len(bad)} of {len(tensors)} tensors differ by more than their types lose, the most {worst.name}: "
        f"{worst.relative:.3g} of its norm, {worst.type_a} and {worst.type_b} lose {worst.allowed:g} at most"
    ]


class _Projection:
    """The least-squares fit of (b − base) on (a − base) over all tensors that the adapter moved."""

    def __init__(self) -> None:
        self.cross = self.own = self.noise = 0.0
        self.count = 0

    def add(self, base: Array, one: Array, other: Array) -> None:
        delta = (one - base).astype(np.float64)
        own = float((delta**2).sum())
        if own == 0:
            return
        change = (other - base).astype(np.float64)
        self.cross += float((change * delta).sum())
        self.own += own
        self.noise += float(((other - one).astype(np.float64) ** 2).sum())
        self.count += delta.size

    def result(self) -> tuple[float | None, float | None]:
        if self.own == 0:
            return None, None
        scale = self.cross / self.own
        residual = max(0.0, self.noise - (scale - 1) ** 2 * self.own)
        return scale, (residual / self.count / self.own) ** 0.5


def compare_token_types(a: list[int], b: list[int]) -> list[str]:
    """Return what differs between GGUF's types of every token id, in words."""
    from assay.trainers.gguf.vocabulary import TokenType

    other = [i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y]
    if not other:
        return []
    i = other[0]
    actual, expected = (TokenType(t).name if t in set(TokenType) else str(t) for t in (b[i], a[i]))
    return [f"{len(other)} of {len(a)} tokens have another type, as id {i}: {actual} instead of {expected}"]


def compare_structure(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Return what differs between two `structure_of`, in words."""
    return [
        f"{key} is {b.get(key)} instead of {a.get(key)}"
        for key in sorted({*a, *b})
        if not _alike(a.get(key), b.get(key))
    ]


def _alike(x: Any, y: Any) -> bool:
    if isinstance(x, int | float) and isinstance(y, int | float):
        return abs(x - y) <= _SAME * max(abs(x), abs(y))
    return bool(x == y)


def weight_lines(weights: Weights) -> list[str]:
    """Return lines on the tensors that differ most, the loss by other storage types, and what could not be read."""
    lines, r = [], weights.rounding
    worst = sorted((t for t in weights.tensors if t.relative > 0), key=lambda t: -t.relative)[:_MOST]
    if worst:
        shown = (f"{t.name} {t.rmse:.2g} ({t.relative:.2%}, {t.type_a} → {t.type_b})" for t in worst)
        lines.append(f"tensors that differ most, RMSE (of their own RMS): {', '.join(shown)}")
    if r is not None:
        lines.append(
            f"rounding, {r.tensors} tensors: RMSE {r.rmse_mean:.2g} on average ({r.relative_mean:.2%} of their own "
            f"RMS), the worst {r.worst}, {r.rmse_worst:.2g} ({r.relative_worst:.2%})"
        )
    if weights.unmeasured:
        name, reason = next(iter(weights.unmeasured.items()))
        lines.append(f"{len(weights.unmeasured)} tensors unmeasured, as {name}: {reason}")
    return lines
