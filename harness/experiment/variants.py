"""The `[[variant]]` and `[[pairs]]` tables of an experiment file: models that exist, and models made from others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from assay.harness.errors import BadInputError
from assay.harness.experiment.tables import Name, SamplingTable, SuiteTable, Table
from assay.suites.validation import MAKERS
from assay.trainers.merge.recipe import MergeRecipe


class ModelVariant(Table):
    """A model that exists already."""

    name: Name
    """The variant's name, which other variants and the leaderboard use."""
    model: str
    """The model: `pocket` (shipped), a folder, a .gguf file, a hub id, or a server's http:// address."""


class PairsTable(Table):
    """Preference pairs made by sampling the variant `model`, executing its completions and pairing them.

    A variant learns from them by `data = { pairs = NAME }`, or practises on their problems alone by `only = NAME`.
    Where the model is trained with several seeds, each of its trainings has preferences of its own.
    """

    name: Name
    """The table's name, for `data.pairs` and `data.only`."""
    model: Name
    """The variant that is sampled."""
    seed: int | None = Field(default=None, ge=0)
    """The seed of samples and pairing; left out, it is the experiment's."""
    suite: SuiteTable | None = None
    """The problems that are sampled; left out, the train split of the experiment's suite."""
    sampling: SamplingTable = SamplingTable(samples=8, temperature=1.0, max_new_tokens=256)
    """The settings of sampling."""
    kinds: tuple[Literal["execution", "quality"], ...] = Field(default=("execution",), min_length=1)
    """Kinds of pair: execution prefers a passing to a failing answer, quality the better of two that pass."""
    per_problem: int = Field(default=4, ge=1)
    """Pairs of each kind for one problem at most."""
    match: Literal["nearest", "random"] = "nearest"
    """The failing answer of a pair: the one nearest to the passing answer, or a random one."""
    single: bool = False
    """Write single answers with a label, which kto learns from, in place of pairs."""

    @model_validator(mode="after")
    def _can_prefer(self) -> PairsTable:
        if self.sampling.samples < 2:
            raise ValueError("sampling.samples = 1: nothing to prefer; draw at least 2 answers a problem")
        if self.suite is not None and self.suite.path is None and self.suite.split not in (None, "train"):
            raise ValueError(
                f"suite.split = {self.suite.split!r}: learning from it would make what is measured there worthless; "
                "use 'train', or problems of your own (a suite with `path`)"
            )
        return self

    def problems(self, measured: SuiteTable) -> SuiteTable:
        """Return the problems that are sampled. Raises BadInputError where the table must name them."""
        if self.suite is not None:
            split = self.suite.split or ("train" if self.suite.path is None else None)
            return self.suite.model_copy(update={"split": split})
        if measured.path is not None:
            raise BadInputError(
                f"pairs {self.name!r}: give `suite`: the problems of {measured.path} are those that are measured"
            )
        return measured.model_copy(update={"split": "train", "limit": None})


class TrainVariant(Table):
    """A model trained on another variant; an adapter is merged first."""

    name: Name
    """The variant's name, which other variants and the leaderboard use."""
    train: str
    """The variant that is trained further."""
    config: dict[str, Any]
    """The method and its settings, as in `[config]` of a training file; `config.reward.model` may name a variant."""
    data: dict[str, Any]
    """The training data, as in `[data]` of a training file; `pairs` names a `[[pairs]]` table, and `only` may."""

    def pairs_of(self, tables: Collection[str]) -> str | None:
        """Return the name of the `[[pairs]]` table that is learned from: `pairs`, or `only` where it names a table."""
        name, only = self.data.get("pairs"), self.data.get("only")
        if name is not None:
            return str(name)
        return only if isinstance(only, str) and only in tables else None

    @property
    def reward_model(self) -> str | None:
        """The value of `config.reward.model`: a variant or a folder."""
        reward = self.config.get("reward")
        model = reward.get("model") if isinstance(reward, dict) else None
        return model if isinstance(model, str) else None


class MergeVariant(MergeRecipe):
    """Adapters folded into their base."""

    name: Name
    """The variant's name, which other variants and the leaderboard use."""
    merge: Name | Annotated[tuple[Name, ...], Field(min_length=1)]
    """The adapter variant that is merged, or a list of them."""

    @model_validator(mode="after")
    def _fits(self) -> MergeVariant:
        if fault := self.fault([1] * len(sources_of(self))):  # ranks are known when the adapters are
            raise ValueError(fault)
        return self

    @property
    def recipe(self) -> MergeRecipe:
        return MergeRecipe.model_validate(self.model_dump(exclude={"name", "merge"}))


class ExportVariant(Table):
    """A variant as one GGUF file."""

    name: Name
    """The variant's name, which other variants and the leaderboard use."""
    export: str
    """The variant that is exported."""
    quantize: str = "f16"
    """The type of the file's weights: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m and others of llama.cpp."""


class CompressVariant(Table):
    """A variant with its weights rounded, or quantised by bitsandbytes."""

    name: Name
    """The variant's name, which other variants and the leaderboard use."""
    compress: str
    """The variant that is compressed."""
    quantization: Literal["fp32", "bf16", "fp16", "int8", "nf4", "fp4"]
    """The type of the weights: rounded to fp32, bf16 or fp16, or quantised to int8, nf4 or fp4."""
    double_quant: bool = True
    """Quantise the scales of nf4 and fp4 too."""


AnyVariant = ModelVariant | TrainVariant | MergeVariant | ExportVariant | CompressVariant


def maker_of(value: Any) -> str | None:
    """Return the kind of variant a table, or an already checked variant, is: the one maker it names."""
    given = value if isinstance(value, dict) else dict(value) if isinstance(value, BaseModel) else {}
    present = [key for key in MAKERS if key in given]
    return present[0] if len(present) == 1 else None


Variant = Annotated[
    Annotated[ModelVariant, Tag("model")]
    | Annotated[TrainVariant, Tag("train")]
    | Annotated[MergeVariant, Tag("merge")]
    | Annotated[ExportVariant, Tag("export")]
    | Annotated[CompressVariant, Tag("compress")],
    Discriminator(
        maker_of,
        custom_error_type="variant",
        custom_error_message="needs exactly one of: " + ", ".join(MAKERS),
    ),
]


def source_of(variant: AnyVariant) -> str | None:
    """Return the variant that this one is made from, the first where there are several, or None."""
    return next(iter(sources_of(variant)), None)


def sources_of(variant: AnyVariant) -> tuple[str, ...]:
    """Return the variants that this one is made from, in order."""
    maker = maker_of(variant)
    names: str | tuple[str, ...] = () if maker in (None, "model") else getattr(variant, str(maker))
    return (names,) if isinstance(names, str) else names
