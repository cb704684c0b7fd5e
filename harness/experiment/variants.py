"""The `[[variant]]` and `[[pairs]]` tables of an experiment file: what exists, and what is made of what."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from assay.harness.errors import BadInputError
from assay.harness.experiment.tables import Name, SamplingTable, SuiteTable, Table
from assay.harness.experiment.validation import MAKERS
from assay.trainers.merge.recipe import MergeRecipe


class ModelVariant(Table):
    """A model that exists: `pocket` (shipped), a folder, a `.gguf` file or a hub id."""

    name: Name
    model: str


class PairsTable(Table):
    """`[[pairs]]`: preferences of the variant `model`, made here: it is sampled, its answers are executed and paired.

    A variant learns from them by `data = { pairs = NAME }`, or practises on their problems alone by `only = NAME`.
    `suite` is the experiment's own in its train split where it is left out; sampling from what is measured would make
    the measurement worthless. Where the model is trained with several seeds, each of its trainings has preferences of
    its own. `single` gives answers with a label.
    """

    name: Name
    model: Name
    seed: int | None = Field(
        default=None, ge=0, description="of samples and pairing; the experiment's, if absent"
    )
    suite: SuiteTable | None = None
    sampling: SamplingTable = SamplingTable(samples=8, temperature=1.0, max_new_tokens=256)
    kinds: tuple[Literal["execution", "quality"], ...] = Field(default=("execution",), min_length=1)
    per_problem: int = Field(default=4, ge=1)
    match: Literal["nearest", "random"] = "nearest"
    single: bool = False

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
        """The problems that are sampled. Raises BadInputError where they must be named."""
        if self.suite is not None:
            split = self.suite.split or ("train" if self.suite.path is None else None)
            return self.suite.model_copy(update={"split": split})
        if measured.path is not None:
            raise BadInputError(
                f"pairs {self.name!r}: give `suite`: the problems of {measured.path} are those that are measured"
            )
        return measured.model_copy(update={"split": "train", "limit": None})


class TrainVariant(Table):
    """An adapter trained on the variant named by `train`; `config` and `data` are the trainer's own tables.

    An adapter is merged first. `data.pairs` names a `[[pairs]]` table, `data.only` may name one, and
    `config.reward.model` a variant of method "reward".
    """

    name: Name
    train: str
    config: dict[str, Any]
    data: dict[str, Any]

    def pairs_of(self, tables: Collection[str]) -> str | None:
        """The `[[pairs]]` table that is learned from: what `pairs` names, or `only` where it names a table."""
        name, only = self.data.get("pairs"), self.data.get("only")
        if name is not None:
            return str(name)
        return only if isinstance(only, str) and only in tables else None

    @property
    def reward_model(self) -> str | None:
        """What `config.reward.model` names: a variant, or a folder."""
        reward = self.config.get("reward")
        model = reward.get("model") if isinstance(reward, dict) else None
        return model if isinstance(model, str) else None


class MergeVariant(MergeRecipe):
    """The adapter, or the list of adapters, named by `merge`, folded into their base by `strategy`."""

    name: Name
    merge: Name | Annotated[tuple[Name, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> MergeVariant:
        fault = self.fault([1] * len(sources_of(self)))  # ranks are known when the adapters are
        if fault:
            raise ValueError(fault)
        return self

    @property
    def recipe(self) -> MergeRecipe:
        return MergeRecipe.model_validate(self.model_dump(exclude={"name", "merge"}))


class ExportVariant(Table):
    """The variant named by `export` as one GGUF file of type `quantize`."""

    name: Name
    export: str
    quantize: str = "f16"


class CompressVariant(Table):
    """The variant named by `compress` with its weights as `quantization`: rounded, or quantised by bitsandbytes."""

    name: Name
    compress: str
    quantization: Literal["fp32", "bf16", "fp16", "int8", "nf4", "fp4"]
    double_quant: bool = True


AnyVariant = ModelVariant | TrainVariant | MergeVariant | ExportVariant | CompressVariant


def maker_of(value: Any) -> str | None:
    """Which kind of variant a table, or an already checked variant, is: the one maker it names."""
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
    """The variant that this one is made from, the first where there are several, or None."""
    return next(iter(sources_of(variant)), None)


def sources_of(variant: AnyVariant) -> tuple[str, ...]:
    """Return the variants that this one is made from, in order."""
    maker = maker_of(variant)
    names: str | tuple[str, ...] = () if maker in (None, "model") else getattr(variant, str(maker))
    return (names,) if isinstance(names, str) else names
