"""The predicted memory of a profiled workload next to the measured one, component by component.

A component is measured where its tensors can be counted: bytes are those of the tensors themselves, under the
prediction's names, so they are exact whatever allocator holds them, on the CPU as on a GPU. What lives only inside a
kernel (scratch of a product, tiles of a loss) is in no tensor and shows in the peak alone. What the prediction leaves
out on purpose is measured in rows of its own: the libraries' kernels, the allocator's fragmentation, the device's
context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from assay.harness.errors import BadInputError
from assay.harness.generation.torch_engine import TorchEngine
from assay.harness.profiling.measure.job import Job
from assay.harness.profiling.memory import Architecture, Prediction, Setup, predict
from assay.harness.profiling.memory.architecture import Attention, Dtype
from assay.harness.profiling.memory.devices import unsized_device
from assay.trainers.errors import TrainersError
from assay.trainers.model.quantize import quantized_layers, weight_bytes

WEIGHTS = ("linear weights", "embedding", "output head", "norms and biases", "adapter")
# Components of the prediction that one measured figure stands against.
TOGETHER: dict[str, tuple[str, ...]] = {
    "gradients": ("gradients", "first block's gradients"),
    "activations": (
        "activations",
        "attention scores",
        "autocast copies",
        "adapter deltas",
        "last norm",
        "head copy",
        "answers' log-softmax",
    ),
}
TRANSIENT = "unmeasured: lives within kernels, seen in the peak alone"
# bitsandbytes' MatMul8bitLt holds its inputs as attributes of its context, not through save_for_backward.
UNSEEN = (
    "unmeasured: LLM.int8 keeps inputs where autograd's hooks do not see them; they show in the peak alone"
)
Kind = Literal["component", "left out", "peak"]
HELD = 0.2  # of the prediction: how far from it the measured peak may be, unless it is said otherwise


@dataclass(frozen=True, slots=True)
class Row:
    """One component's two figures.

    `predicted_bytes` None: not predicted, by intent. `measured_bytes` None: for the reason in `note`. `error` is
    predicted over measured, less one.
    """

    name: str
    kind: Kind
    predicted_bytes: int | None
    measured_bytes: int | None
    note: str = ""

    @property
    def error(self) -> float | None:
        if self.predicted_bytes is None or not self.measured_bytes:
            return None
        return self.predicted_bytes / self.measured_bytes - 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"error": self.error}


def setup_of(
    job: Job, architecture: Architecture, *, gpu: bool, compute: Dtype, attention: Attention = "sdpa"
) -> Setup:
    """Return the job in the prediction's terms. `compute` and `attention` are what the run came to."""
    if job.training is not None:
        config = job.config().model_copy(update={"dtype": compute})
        device = unsized_device(gpu=gpu)
        return Setup.from_config(config, architecture, job.prompt_tokens, device, attention)
    return Setup(
        objective="inference",
        weights=compute if job.weights == "stored" else job.weights,
        compute=compute,
        attention=attention,
        batch=job.batch_size,
        drawn=job.batch_size * (job.samples if "generate" in job.phases else 1),
        length=job.prompt_tokens,
        new_tokens=job.new_tokens,
        refilled=False,
        gpu=gpu,
    )


def predicted(
    job: Job, architecture: Architecture | None, summary: Mapping[str, Any], *, gpu: bool
) -> tuple[Prediction | None, str]:
    """Return the prediction of a profiled job, or the reason why there is none."""
    if architecture is None:
        return None, "the prediction does not know this format or architecture"
    compute = summary.get("compute") or (architecture.dtype if job.dtype == "auto" else job.dtype)
    try:
        attention = summary.get("attention", "sdpa")
        setup = setup_of(job, architecture, gpu=gpu, compute=compute, attention=attention)
        return predict(architecture, setup), ""
    except (BadInputError, TrainersError) as error:  # a combination that the prediction does not know
        return None, str(error)


def compare(prediction: Prediction, summary: Mapping[str, Any], unseen: Mapping[str, str]) -> list[Row]:
    """Return rows of the components, of what is left out of them, and of the peak.

    `unseen` gives, for components whose count would miss a part, the reason.
    """
    counted: Mapping[str, int] = summary.get("components") or {}
    reason = TRANSIENT if counted else f"unmeasured: {summary['status']}"
    rows = [
        replace(row, measured_bytes=None, note=unseen[row.name]) if row.name in unseen else row
        for row in _components(prediction, counted, reason)
    ]
    rows += _left_out(summary["memory"], summary.get("device_before_bytes"))
    peak, counter = measured_peak(summary)
    note = counter or f"unmeasured: {summary['status']}"
    return [*rows, Row("peak", "peak", prediction.peak_bytes, peak, note)]


def with_prediction(
    summary: Mapping[str, Any], job: Job, architecture: Architecture | None, within: float = HELD
) -> dict[str, Any]:
    """Return the summary with its prediction.

    `predicted` is None where there is none, for the reason in `unpredicted`; `comparison` has each component's two
    figures; `prediction` says whether the peak came within the share `within` of its prediction.
    """
    gpu = bool(summary["machine"]["gpu"]) and job.device != "cpu"
    prediction, reason = predicted(job, architecture, summary, gpu=gpu)
    if prediction is None:
        nothing: dict[str, Any] = {"predicted": None, "unpredicted": reason, "comparison": []}
        return {**summary, **nothing, "prediction": judged(None, within)}
    predicted_json = prediction.to_json()
    keys = ("components", "phases", "peak_phase", "peak_bytes", "unmeasured")
    unseen = {"activations": UNSEEN} if job.training is not None and job.training.method == "int8" else {}
    rows = compare(prediction, summary, unseen)
    return {
        **summary,
        "predicted": {key: predicted_json[key] for key in keys},
        "comparison": [row.to_json() for row in rows],
        "prediction": judged(rows[-1], within),
    }


def judged(peak: Row | None, within: float) -> dict[str, Any]:
    """Return the verdict on a predicted peak: held, missed, or unmeasured.

    `beyond` is measured over predicted, less one.
    """
    beyond = None
    if peak is not None and peak.predicted_bytes and peak.measured_bytes:
        beyond = peak.measured_bytes / peak.predicted_bytes - 1
    verdict = "unmeasured" if beyond is None else "held" if abs(beyond) <= within else "missed"
    return {"beyond": beyond, "within": within, "verdict": verdict}


def _components(prediction: Prediction, counted: Mapping[str, int], reason: str) -> Iterator[Row]:
    group_of = {name: key for key, names in TOGETHER.items() if key in counted for name in names}
    predicted: Counter[str] = Counter()
    notes: dict[str, str] = {}
    for component in prediction.components:
        key = group_of.get(component.name, component.name)
        predicted[key] += component.bytes
        notes.setdefault(key, component.note)
    for key, note in notes.items():
        measured = counted.get(key)
        yield Row(key, "component", predicted[key], measured, reason if measured is None else note)


def _left_out(memory: Mapping[str, Mapping[str, int]], before: int | None) -> Iterator[Row]:
    """Yield what no prediction claims, each by its own measurement."""
    kernels = memory.get("kernels", {})
    for key, what in (
        ("allocated_left_bytes", "workspaces of the libraries, in the CUDA allocator"),
        ("rss_left_bytes", "what libraries keep for these shapes: run on one block, which was given back"),
    ):
        if key in kernels:
            yield Row("kernels", "left out", None, kernels[key], what)
            break
    phase = largest_phase(memory, "allocated_peak_bytes")
    if phase is not None:
        at_peak = memory[phase]
        unused = at_peak["reserved_peak_bytes"] - at_peak["allocated_peak_bytes"]
        note = "reserved by the CUDA allocator and not in use at its peak"
        yield Row("fragmentation", "left out", None, unused, note)
        process, source = process_bytes(at_peak, before)
        context = None if process is None else process - at_peak["reserved_peak_bytes"]
        yield Row("device context", "left out", None, context, source)


def process_bytes(at_peak: Mapping[str, int], before: int | None) -> tuple[int | None, str]:
    """Return the device memory of the measured process, context and all, and how that is known."""
    if "process_peak_bytes" in at_peak:
        return at_peak["process_peak_bytes"], "of the process by NVML, beyond the allocator"
    if "device_peak_bytes" in at_peak and before is not None:
        source = (
            "of the device by NVML, beyond the allocator and what was in use before (NVML tells no process)"
        )
        return at_peak["device_peak_bytes"] - before, source
    return None, "unmeasured: NVML tells no process"


def measured_peak(summary: Mapping[str, Any]) -> tuple[int | None, str]:
    """Return the most bytes that any phase held beyond what the libraries hold, by the counter that a prediction is
    about.
    """
    for key, counter in (
        ("allocated_peak_increase_bytes", "allocated, over the libraries' kernels"),
        ("rss_peak_increase_bytes", "increase of RSS, over the libraries' kernels"),
    ):
        phase = largest_phase(summary["memory"], key)
        if phase is not None:
            return summary["memory"][phase][key], f"{counter}, in phase {phase!r}"
    return None, ""


def largest_phase(memory: Mapping[str, Mapping[str, int]], key: str) -> str | None:
    phases = [name for name in memory if key in memory[name] and name not in ("import", "kernels")]
    return max(phases, key=lambda name: memory[name][key], default=None)


def weights_of(model: Any) -> dict[str, int]:
    """Return the bytes of the parameters by component, a tied one once; a quantised matrix with its scales."""
    import torch

    sizes = dict.fromkeys(WEIGHTS, 0)
    rounded = {id(m.weight): weight_bytes(m) for m in quantized_layers(model).values()}
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    for name, parameter in model.named_parameters():  # each tensor once, the embedding before the head
        sizes[_part(name, parameter, embeddings)] += rounded.get(id(parameter), parameter.nbytes)
    return {name: n for name, n in sizes.items() if n}


def _part(name: str, parameter: Any, embeddings: set[int]) -> str:
    if ".lora_" in name:
        return "adapter"
    if id(parameter) in embeddings:
        return "embedding"
    if name.endswith("lm_head.weight"):
        return "output head"
    return "linear weights" if parameter.dim() > 1 else "norms and biases"


def cache_of(engine: TorchEngine) -> dict[str, int]:
    """Return the bytes of the cache that the engine's last rows had room in."""
    return {"KV cache": engine.cache_bytes} if engine.cache_bytes else {}


def state_of(optimizer: Any) -> int:
    """Return the bytes of an optimiser's state; its counters of steps left out."""
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
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        self.most = max(self.most, sum(g.nbytes for g in gradients))


class Kept:
    """A context that counts the bytes of the storages that autograd keeps for the backward pass, each once.

    Those of `known` tensors are left out. Checkpointed blocks keep what no hook sees.
    """

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
