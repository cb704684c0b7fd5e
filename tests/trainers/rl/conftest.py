"""A tiny base model for the reinforcement tests, made once a session."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from assay.trainers import Artifact

TEXTS = [f"def f{i}(x):\n    return x + {i}\n\nAdd {i} to x, then return it." for i in range(60)]


def _load_world() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rl_world", Path(__file__).with_name("world.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Equal figures need equal sums, and a model this small gains nothing from a second thread."""
    torch = pytest.importorskip("torch", reason="needs the train extra")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def world() -> ModuleType:
    pytest.importorskip("torch", reason="needs the train extra")
    return _load_world()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, world: ModuleType) -> Artifact:
    made: Artifact = world.base_at(tmp_path_factory.mktemp("rl") / "base", TEXTS)
    return made
