"""Several adapters over one base in memory: each answers as it does alone, in one batch and one after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.harness.errors import BadInputError
from assay.harness.generation import Request, Sampling, load_generator
from assay.harness.generation.load import OneAdapter, load_adapters
from assay.trainers import Artifact
from tests.tiny import make_tiny_model
from tests.trainers.merge.test_kinds import random_adapter

pytestmark = pytest.mark.train
SAMPLED = Sampling(temperature=0.8, max_new_tokens=24)


@pytest.fixture(scope="module")
def adapters(variants: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Two that were trained for nothing but to differ."""
    folder: Path = tmp_path_factory.mktemp("adapters")
    base = variants["base"]
    return {
        "one": variants["adapter"],
        "two": random_adapter(base, folder / "two", "lora", noise=0.1),
        "three": random_adapter(base, folder / "three", "rslora", noise=0.1),
    }


Answers = dict[tuple[str, str, int], tuple[int, ...]]


@pytest.fixture(scope="module")
def alone(adapters: dict[str, Artifact], variants: dict[str, Artifact]) -> Answers:
    """What each answers by itself, and the base."""
    found: Answers = {}
    for name, artifact in (adapters | {"__base__": variants["base"]}).items():
        generator = load_generator(artifact, batch_size=8, threads=1, dtype="fp32")
        for s in generator.generate(asked(""), SAMPLED):
            found[name, s.problem_id, s.index] = s.token_ids
        generator.close()
    return found


def asked(adapter: str) -> list[Request]:
    def prompt(i: int) -> str:
        return f"<|im_start|>user\nAdd {i} to x.<|im_end|>\n<|im_start|>assistant\n"

    return [
        Request(f"p{i}", j, prompt(i), seed=100 * i + j, adapter=adapter) for i in range(5) for j in range(2)
    ]


@pytest.mark.slow
def test_a_mixed_batch_answers_as_each_alone(adapters: dict[str, Artifact], alone: Answers) -> None:
    """Requests of three adapters and the base in turn, in batches of eight, rows coming and going."""
    names = [*adapters, "__base__"]
    turns = [r for group in zip(*(asked(name) for name in names), strict=True) for r in group]
    by_seed = {(r.problem_id, r.index): r for r in asked("")}
    generator = load_adapters(adapters, batch_size=8, threads=1, dtype="fp32")
    # A sample does not say whose it is: one adapter at a time is asked for within the same, mixed, batch
    labelled = [Request(f"{r.adapter}/{r.problem_id}", r.index, r.prompt, r.seed, r.adapter) for r in turns]
    found = {(s.problem_id, s.index): s.token_ids for s in generator.generate(labelled, SAMPLED)}
    generator.close()
    assert len(found) == len(turns) == 4 * len(by_seed)
    for (label, index), tokens in found.items():
        name, _, problem = label.partition("/")
        assert tokens == alone[name, problem, index], (name, problem, index)
    assert len({tuple(alone[n, "p0", 0]) for n in names}) == 4  # they do differ


def test_one_after_another_over_one_base(adapters: dict[str, Artifact], alone: Answers) -> None:
    shared = load_adapters(adapters, batch_size=8, threads=1, dtype="fp32")
    for name in ("two", "one", "two", "three"):
        view = OneAdapter(shared, name, 2)
        for s in view.generate(asked(""), SAMPLED):
            assert s.token_ids == alone[name, s.problem_id, s.index]
        assert view.stats.samples == 10
        assert "one of 3 adapters over one base" in view.backend
        view.close()
    assert shared.stats.samples == 40
    shared.close()


def test_kinds_that_cannot_mix_still_take_turns(
    variants: dict[str, Artifact], adapters: dict[str, Artifact], alone: Answers, tmp_path: Path
) -> None:
    dora = random_adapter(variants["base"], tmp_path / "dora", "dora", noise=0.1)
    shared = load_adapters({"one": adapters["one"], "dora": dora}, batch_size=8, threads=1, dtype="fp32")
    with pytest.raises(BadInputError, match=r"dora, one cannot share a batch"):
        list(shared.generate([*asked("one"), *asked("dora")], SAMPLED))
    for s in OneAdapter(shared, "one", 1).generate(asked(""), SAMPLED):
        assert s.token_ids == alone["one", s.problem_id, s.index]
    shared.close()


def test_what_is_not_held_is_refused(
    adapters: dict[str, Artifact], variants: dict[str, Artifact], tmp_path: Path
) -> None:
    shared = load_adapters(adapters, batch_size=8, threads=1, dtype="fp32")
    with pytest.raises(BadInputError, match="holds no adapter 'four'; it holds one, two, three"):
        list(shared.generate(asked("four"), SAMPLED))
    with pytest.raises(BadInputError, match="holds no adapter ''"):
        list(shared.generate(asked(""), SAMPLED))
    shared.close()
    gguf = load_generator(variants["f16"], threads=1)
    with pytest.raises(BadInputError, match="holds one model; it cannot answer as adapter 'one'"):
        list(gguf.generate(asked("one"), SAMPLED))
    gguf.close()
    other = make_tiny_model(tmp_path / "other", ["a b c"], seed=9)
    stranger = random_adapter(other, tmp_path / "stranger", "lora")
    with pytest.raises(BadInputError, match="do not share a base"):
        load_adapters({"one": adapters["one"], "stranger": stranger})


def test_the_evaluator_loads_a_base_once_for_all_its_adapters(
    adapters: dict[str, Artifact], variants: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.harness.experiment import Experiment
    from assay.harness.pipeline.steps.generate import ModelPool

    models = {"base": variants["base"], **adapters, "merged": variants["merged"]}
    experiment = Experiment.model_validate(
        {
            "name": "t",
            "suite": {"name": "pocket", "limit": 1},
            "engine": {"dtype": "fp32", "threads": 1},
            "variant": [{"name": name, "model": str(a.path)} for name, a in models.items()],
        }
    )
    loads = ModelPool(experiment.engine)
    read: list[str] = []
    from assay.harness.generation import torch_engine

    real: Callable[..., object] = torch_engine._load
    monkeypatch.setattr(torch_engine, "_load", lambda a, *rest: (read.append(a.path.name), real(a, *rest))[1])
    for name, artifact in models.items():
        generator = loads.open(name, artifact, models)
        assert ("one of 3" in generator.backend) == (name in adapters)
        assert {one for one in models if loads.serves(one)} == (set(adapters) if name in adapters else set())
        generator.close()
    loads.close()
    assert read == ["base", "base", "merged"]  # itself, for three adapters, and the merged one
