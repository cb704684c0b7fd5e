"""Whether each variant can be made from what it names, known by kinds before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

from assay.harness.errors import BadInputError
from assay.harness.experiment import (
    AnyVariant,
    CompressVariant,
    Experiment,
    ExportVariant,
    MergeVariant,
    ModelVariant,
    PairsTable,
    TrainVariant,
    sources_of,
)
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.config import CommonConfig, RewardModelConfig

_WHOLE = (ArtifactKind.BASE, ArtifactKind.TUNED, ArtifactKind.MERGED)
_JUDGE = "it is a reward model, which scores answers and writes none; name it in a ppo variant's config.reward.model"
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
    """Raise BadInputError for a variant made from a kind of model that it cannot be made from, or for one that is asked
    to answer and cannot.

    `models` are those taken as they are, `configs` the trainings', both by the declared variant's name.
    """
    judges = {name for name, config in configs.items() if isinstance(config, RewardModelConfig)}
    for one in (*experiment.variant, *experiment.pairs):
        _check_answers(one, judges)
    if experiment.score.reference in judges:
        raise BadInputError(f"score.reference {experiment.score.reference!r}: {_JUDGE}")
    kinds: dict[str, ArtifactKind] = {}
    for variant in experiment.variant:
        sources = {name: kinds[name] for name in sources_of(variant)}
        _check(variant, sources)
        kinds[variant.name] = _kind(variant, sources, models, configs)


def _check_answers(one: AnyVariant | PairsTable, judges: set[str]) -> None:
    """A reward model answers nothing: nothing but rewards can be made of it."""
    names = (one.model,) if isinstance(one, PairsTable) else sources_of(one)
    for name in names:
        if name in judges:
            what = "sampled" if isinstance(one, PairsTable) else "the start of a variant"
            raise BadInputError(f"{one.name!r}: {name!r} cannot be {what}: {_JUDGE}")


def _check(variant: AnyVariant, sources: Mapping[str, ArtifactKind]) -> None:
    wanted: tuple[ArtifactKind, ...] = _WHOLE
    if isinstance(variant, MergeVariant):
        wanted = (ArtifactKind.ADAPTER,)
    elif isinstance(variant, TrainVariant):
        wanted = (*_WHOLE, ArtifactKind.ADAPTER)  # which the plan merges first
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
