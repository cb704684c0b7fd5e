"""An experiment: all its tables, and the checks of one table against another."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from assay.harness.experiment.tables import (
    CompareTable,
    EngineTable,
    Name,
    ProfileTable,
    SamplingTable,
    SandboxTable,
    ScoreTable,
    SuiteTable,
    Table,
)
from assay.harness.experiment.variants import PairsTable, TrainVariant, Variant, sources_of

TrainingSeed = Annotated[int, Field(ge=0, lt=2**32)]


class Member(NamedTuple):
    """One realisation of a variant: trained with one seed, or without a seed of its own (None)."""

    name: str
    seed: int | None


class Experiment(Table):
    """One experiment: a suite, how samples are drawn, and the variants compared."""

    name: Name
    """The experiment's name, and the folder of its runs under results/runs."""
    seed: int = Field(default=0, ge=0)
    """The seed of samples, and of trainings that set none."""
    seeds: tuple[TrainingSeed, ...] = ()
    """Training seeds: each training, and what is made from it, is done once for each; the leaderboard has the mean."""
    suite: SuiteTable
    """The problems that every variant answers."""
    sampling: SamplingTable = SamplingTable()
    """The settings of sampling."""
    engine: EngineTable = EngineTable()
    """The settings of generation."""
    sandbox: SandboxTable = SandboxTable()
    """The settings of execution."""
    score: ScoreTable = ScoreTable()
    """The settings of scores and comparisons."""
    compare: CompareTable | None = None
    """Compare each merge, export and compression with the model it was made from; off without the table."""
    profile: ProfileTable | None = None
    """Measure each variant's memory and speed; off without the table."""
    pairs: tuple[PairsTable, ...] = ()
    """Preference data made from variants' own samples."""
    variant: tuple[Variant, ...] = Field(min_length=1)
    """The models that are compared, each after those it is made from."""

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
        """Return the variants' names. Raises ValueError for a variant made from a name that is not before it."""
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
            if pairs is not None and pairs not in tables:
                raise ValueError(
                    f"variant {variant.name!r}: data.pairs = {pairs!r} names no [[pairs]] table; there "
                    f"are: {', '.join(sorted(tables)) or 'none'}"
                )
            if pairs is not None and tables[pairs].model not in seen:
                raise ValueError(
                    f"variant {variant.name!r} learns from pairs {pairs!r} of the model "
                    f"{tables[pairs].model!r}, which must be a variant before it"
                )
            seen.append(variant.name)
        return seen

    def _check_pairs(self, variants: list[str]) -> None:
        names = [*variants, *(table.name for table in self.pairs)]
        for table in self.pairs:
            if names.count(table.name) > 1:
                raise ValueError(f"pairs {table.name!r}: another table has that name already")
            if table.model not in variants:
                raise ValueError(
                    f"pairs {table.name!r}: model = {table.model!r} is no variant; there are: "
                    f"{', '.join(sorted(variants))}"
                )

    def members(self, name: str) -> tuple[Member, ...]:
        """Return the realisations of a declared variant, or of its preferences: itself, or one for each seed."""
        if not self.seeds or not self._is_trained(name):
            return (Member(name, None),)
        return tuple(Member(f"{name}.s{seed}", seed) for seed in self.seeds)

    def _is_trained(self, name: str) -> bool:
        name = next((table.model for table in self.pairs if table.name == name), name)
        variant = next(v for v in self.variant if v.name == name)
        return isinstance(variant, TrainVariant) or any(map(self._is_trained, sources_of(variant)))
