"""Whether each variant can be made from what it names, known by kinds before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import BadInputError
from harness.experiment import (
    AnyVariant,
    CompressVariant,
    Experiment,
    ExportVariant,
    MergeVariant,
    ModelVariant,
    TrainVariant,
    sources_of,
)
from trainers.artifact import Artifact, ArtifactKind
from trainers.config import CommonConfig

_WHOLE = (ArtifactKind.BASE, ArtifactKind.TUNED, ArtifactKind.MERGED)
_ADVICE = {
    ArtifactKind.ADAPTER: "merge it first",
    ArtifactKind.TUNED: "it is whole already, with nothing to fold in: use it as it is",
    ArtifactKind.BASE: "it is whole already, with nothing to fold in: use it as it is",
    ArtifactKind.MERGED: "it is merged already: use it as it is",
    ArtifactKind.GGUF: "name the model that it was exported from",
    ArtifactKind.ENDPOINT: "its weights are not here",
}


def check_chains(
    experiment: Experiment, models: Mapping[str, Artifact], configs: Mapping[str, CommonConfig]
) -> None:
    """Raise BadInputError for a variant made from a kind of model that it cannot be made from.

    `models` are those taken as they are, `configs` the trainings', both by the declared variant's name.
    """
    kinds: dict[str, ArtifactKind] = {}
    for variant in experiment.variant:
        sources = {name: kinds[name] for name in sources_of(variant)}
        _check(variant, sources)
        kinds[variant.name] = _kind(variant, sources, models, configs)


def _check(variant: AnyVariant, sources: Mapping[str, ArtifactKind]) -> None:
    wanted = (ArtifactKind.ADAPTER,) if isinstance(variant, MergeVariant) else _WHOLE
    for name, kind in sources.items():
        if kind not in wanted:
            raise BadInputError(
                f"variant {variant.name!r} cannot {_doing(variant)} {name!r}, which is of kind {kind} "
                f"(possible: {', '.join(wanted)}): {_ADVICE[kind]}"
            )


def _doing(variant: AnyVariant) -> str:
    match variant:
        case TrainVariant():
            return "train"
        case MergeVariant():
            return "merge"
        case ExportVariant():
            return "export"
        case _:
            return "compress"


def _kind(
    variant: AnyVariant,
    sources: Mapping[str, ArtifactKind],
    models: Mapping[str, Artifact],
    configs: Mapping[str, CommonConfig],
) -> ArtifactKind:
    match variant:
        case ModelVariant():
            return models[variant.name].kind
        case TrainVariant():
            return ArtifactKind.TUNED if configs[variant.name].full else ArtifactKind.ADAPTER
        case MergeVariant():
            return ArtifactKind.MERGED
        case ExportVariant():
            return ArtifactKind.GGUF
        case CompressVariant():
            return sources[variant.compress]
