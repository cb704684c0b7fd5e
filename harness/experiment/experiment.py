"""One experiment, its tables held against each other."""

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
