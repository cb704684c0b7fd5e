"""The experiment file: what a user writes in TOML, checked at the door."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from harness.errors import BadInputError
from harness.explain import MAKERS, explain
from trainers.merge.recipe import MergeRecipe

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
DATA_FILES = ("file", "eval_file", "only")  # keys of `[data]` that hold a file's name
TrainingSeed = Annotated[int, Field(ge=0, lt=2**32)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SuiteTable(Table):
    """Which problems. `path` is relative to the experiment file, or `hub:id`; `options` are the suite's own."""

    name: str
    path: Path | None = None
    split: str | None = None
    limit: int | None = Field(default=None, ge=1)
    options: dict[str, str] = Field(default_factory=dict)


class SamplingTable(Table):
    """How samples are drawn; the same for every variant."""

    style: Literal["chat", "completion"] = "chat"
    samples: int = Field(default=1, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=512, ge=1)

    @model_validator(mode="after")
    def _greedy_once(self) -> SamplingTable:
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"temperature 0 gives the same sample {self.samples} times: set samples = 1")
        return self


class EngineTable(Table):
    """How generation runs. Only `device` and `dtype` can change an answer; batch and threads change its speed.

    `device` auto is the CUDA device where there is one; `dtype` auto is the type the weights are stored in, and a
    GGUF file always has its own.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(default=64, ge=1)
    threads: int = Field(default=0, ge=0, description="0: one per core")


class SandboxTable(Table):
    backend: Literal["embedded", "docker"] = "embedded"
    mode: Literal["split", "shared"] = "split"
    isolation: Literal["cell", "fresh"] = Field(
        default="cell", description="fresh: a PID and a mount namespace for each program, at a lower rate"
    )
    workers: int = Field(default=0, ge=0, description="0: one per core")
    cpu_s: float = Field(default=5.0, gt=0, le=86_400)
    wall_s: float = Field(default=20.0, gt=0, le=86_400)
    memory_mb: int = Field(default=1024, ge=64)


class ScoreTable(Table):
    """`margin` is the pass@1 difference that does not matter; `reference` the variant that others are held to."""

    k: tuple[int, ...] = Field(default=(1,), min_length=1)
    reference: str = "base"
    margin: float = Field(default=0.05, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class CompareTable(Table):
    """Hold each merge, export and compression against what it was made from, on `texts` of the suite's solutions."""

    texts: int = Field(default=48, ge=1)
    greedy_tokens: int = Field(default=64, ge=1)


class ProfileTable(Table):
    """`[profile]`: each variant's memory and speed, measured alone in a process of its own.

    Off without the table: each model is loaded once more, and the figures hold only where the machine has nothing else
    to do. Of a variant with several training seeds the first is measured: neither figure depends on the seed.
    """

    batch_size: int = Field(default=1, ge=1)
    prompt_tokens: int = Field(default=128, ge=1)
    new_tokens: int = Field(default=64, ge=2)
    samples: int = Field(default=1, ge=1)
    repeats: int = Field(default=3, ge=1)
    warmup: int = Field(default=1, ge=0)


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


def _maker(value: Any) -> str | None:
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
        _maker, custom_error_type="variant", custom_error_message="needs exactly one of: " + ", ".join(MAKERS)
    ),
]


class Member(NamedTuple):
    """A variant as it is made: by one training seed, or (None) without one."""

    name: str
    seed: int | None


class Experiment(Table):
    """One experiment: a suite, the way samples are drawn, and the variants compared.

    With `seeds`, every training is done once for each of them, and so is what is made from it; such a variant is one
    row of the leaderboard, a mean over its seeds. Samples are drawn with `seed` throughout.
    """

    name: Name
    seed: int = Field(default=0, ge=0)
    seeds: tuple[TrainingSeed, ...] = ()
    suite: SuiteTable
    sampling: SamplingTable = SamplingTable()
    engine: EngineTable = EngineTable()
    sandbox: SandboxTable = SandboxTable()
    score: ScoreTable = ScoreTable()
    compare: CompareTable | None = None
    profile: ProfileTable | None = None
    pairs: tuple[PairsTable, ...] = ()
    variant: tuple[Variant, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: one is named twice in {list(self.seeds)}")
        self._check_pairs([variant.name for variant in self.variant])
        seen = self._check_order()
        for name in (*seen, *(table.name for table in self.pairs)):
            for member in self.members(name):
                if member.name != name and member.name in seen:
                    raise ValueError(
                        f"variant {member.name!r} has the name that {name!r} gets for training seed "
                        f"{member.seed}: name it otherwise"
                    )
        if self.score.reference not in seen:
            raise ValueError(
                f"score.reference {self.score.reference!r} is no variant; there are: {', '.join(sorted(seen))}"
            )
        if max(self.score.k) > self.sampling.samples or min(self.score.k) < 1:
            raise ValueError(
                f"score.k = {list(self.score.k)} needs 1 <= k <= sampling.samples = {self.sampling.samples}"
            )
        return self

    def _check_order(self) -> list[str]:
        """The variants' names, each made from names before it."""
        seen: list[str] = []
        tables = {table.name: table for table in self.pairs}
        for variant in self.variant:
            if self.seeds and isinstance(variant, TrainVariant) and "seed" in variant.config:
                raise ValueError(
                    f"variant {variant.name!r}: config.seed = {variant.config['seed']!r} and the experiment's seeds "
                    "both set the training seed: keep one"
                )
            if variant.name in seen:
                raise ValueError(f"variant {variant.name!r} is named twice")
            for source in sources_of(variant):
                if source not in seen:
                    raise ValueError(
                        f"variant {variant.name!r} is made from {source!r}, which no variant before it is named; "
                        f"before it: {', '.join(sorted(seen)) or 'none'}"
                    )
            pairs = variant.pairs_of(tables) if isinstance(variant, TrainVariant) else None
            if pairs is not None:
                if pairs not in tables:
                    raise ValueError(
                        f"variant {variant.name!r}: data.pairs = {pairs!r} names no [[pairs]] table; there "
                        f"are: {', '.join(sorted(tables)) or 'none'}"
                    )
                if tables[pairs].model not in seen:
                    raise ValueError(
                        f"variant {variant.name!r} learns from pairs {pairs!r} of the model "
                        f"{tables[pairs].model!r}, which must be a variant before it"
                    )
            seen.append(variant.name)
        return seen

    def _check_pairs(self, variants: list[str]) -> None:
        seen = set(variants)
        for table in self.pairs:
            if table.name in seen:
                raise ValueError(f"pairs {table.name!r}: another table has that name already")
            if table.model not in variants:
                raise ValueError(
                    f"pairs {table.name!r}: model = {table.model!r} is no variant; there are: "
                    f"{', '.join(sorted(variants))}"
                )
            seen.add(table.name)

    def members(self, name: str) -> tuple[Member, ...]:
        """What a declared variant, or its preferences, is made as: itself, or one for each training seed."""
        if not self.seeds or not self._is_trained(name):
            return (Member(name, None),)
        return tuple(Member(f"{name}.s{seed}", seed) for seed in self.seeds)

    def _is_trained(self, name: str) -> bool:
        name = next((table.model for table in self.pairs if table.name == name), name)
        variant = next(v for v in self.variant if v.name == name)
        return isinstance(variant, TrainVariant) or any(map(self._is_trained, sources_of(variant)))


def source_of(variant: AnyVariant) -> str | None:
    """The variant that this one is made from, the first where there are several, or None."""
    return next(iter(sources_of(variant)), None)


def sources_of(variant: AnyVariant) -> tuple[str, ...]:
    """The variants that this one is made from, in order."""
    match variant:
        case TrainVariant():
            return (variant.train,)
        case MergeVariant():
            return (variant.merge,) if isinstance(variant.merge, str) else variant.merge
        case ExportVariant():
            return (variant.export,)
        case CompressVariant():
            return (variant.compress,)
        case ModelVariant():
            return ()


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file. Raises BadInputError that names the file, the key and its value."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInputError(f"no such file: {path}") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: not TOML: {error}") from None
    try:
        experiment = Experiment.model_validate(raw)
    except ValidationError as error:
        raise BadInputError(f"{path}: {explain(error, Experiment)}") from None
    return _beside(experiment, path.parent)


def _beside(experiment: Experiment, folder: Path) -> Experiment:
    """The same experiment with its relative file names taken from the experiment file's folder."""
    names = {one.name for one in (*experiment.variant, *experiment.pairs)}
    variants = [_variant_beside(v, folder, names) for v in experiment.variant]
    pairs = [
        table.model_copy(
            update={"suite": None if table.suite is None else _suite_beside(table.suite, folder)}
        )
        for table in experiment.pairs
    ]
    return experiment.model_copy(
        update={
            "suite": _suite_beside(experiment.suite, folder),
            "variant": tuple(variants),
            "pairs": tuple(pairs),
        }
    )


def _suite_beside(suite: SuiteTable, folder: Path) -> SuiteTable:
    if suite.path is None or str(suite.path).startswith("hub:"):
        return suite
    return suite.model_copy(update={"path": folder / suite.path})


def _variant_beside(variant: AnyVariant, folder: Path, names: set[str]) -> AnyVariant:
    if isinstance(variant, TrainVariant):
        named = {key: variant.data.get(key) for key in DATA_FILES}
        named = {key: name for key, name in named.items() if key != "only" or name not in names}
        beside = {key: str(folder / name) for key, name in named.items() if isinstance(name, str)}
        config = variant.config
        if variant.reward_model not in names:
            config = reward_model_beside(config, folder)
        return variant.model_copy(update={"config": config, "data": variant.data | beside})
    if isinstance(variant, ModelVariant) and (
        variant.model.startswith(".") or variant.model.endswith(".gguf")
    ):
        return variant.model_copy(update={"model": str(folder / variant.model)})
    return variant


def reward_model_beside(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same `[config]` with a relative `reward.model` taken from `folder`."""
    reward = config.get("reward")
    if not isinstance(reward, dict) or not isinstance(reward.get("model"), str):
        return config
    return config | {"reward": reward | {"model": str(folder / reward["model"])}}


def find_experiment(name: str) -> Path:
    """The file that `name` means: a path, or the name of one of the labs that come with Assay."""
    path = Path(name)
    if path.suffix or path.exists():
        return path
    labs = Path(str(files("suites"))) / "labs"
    known = sorted(file.stem for file in labs.glob("*.toml"))
    if name in known:
        return labs / f"{name}.toml"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInputError(
        f"no experiment {name!r}: give a .toml file or one of the labs: {', '.join(known)}{hint}"
    )
