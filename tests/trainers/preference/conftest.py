"""A tiny base model and preferences about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assay.trainers import Artifact
from assay.trainers.data.preferences import (
    Pair,
    PreferenceDataConfig,
    Preferences,
    load_preferences,
    write_preferences,
)
from tests.tiny import make_tiny_model

TEXTS = [f"def f{i}(x):\n    return x + {i}\n\nAdd {i} to x, then return it." for i in range(60)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_tiny_model(tmp_path_factory.mktemp("preference") / "base", TEXTS)


def pairs(count: int) -> list[Pair]:
    """The right body against one that adds one too many."""
    return [
        Pair(
            f"toy/{i}",
            "execution",
            ({"role": "user", "content": f"Add {i} to x."},),
            f"    return x + {i}",
            f"    return {i + 1} - x",
        )
        for i in range(count)
    ]


@pytest.fixture(scope="session")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> Preferences:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    write_preferences(path, pairs(24), {"model_sha256": "0" * 64})
    return load_preferences(PreferenceDataConfig(file=path, eval_fraction=0.25))
