"""Small models of the real kind, made once a session, and a few chats to train them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, Records, SftConfig
from assay.trainers.data import records_from_jsonl
from assay.trainers.methods.sft import train_sft
from tests.tiny import make_tiny_model

TEXTS = [f"def f{i}(x):\n    return x + {i}\n\nAdd {i} to x, then return it." for i in range(60)]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), TEXTS)


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_tiny_model(tmp_path_factory.mktemp("tied"), TEXTS, tied=True, seed=1)


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Records:
    path = tmp_path_factory.mktemp("data") / "chats.jsonl"
    rows = [f'{{"prompt": "Add {i} to x.", "completion": "    return x + {i}"}}\n' for i in range(24)]
    path.write_text("".join(rows))
    return records_from_jsonl(path)


@pytest.fixture(scope="session")
def small_config() -> Callable[..., SftConfig]:
    """Six steps of four chats, in fp32 so that equal means equal."""

    def make(**changes: object) -> SftConfig:
        values = {"method": "sft", "batch_size": 4, "learning_rate": 1e-2, "dtype": "fp32", "max_length": 128}
        return SftConfig.model_validate(values | changes)

    return make


@pytest.fixture(scope="session")
def adapter(
    tmp_path_factory: pytest.TempPathFactory,
    tiny: Artifact,
    chats: Records,
    small_config: Callable[..., SftConfig],
) -> Artifact:
    out: Path = tmp_path_factory.mktemp("trained") / "adapter"
    return train_sft(tiny, small_config(), chats, out)


@pytest.fixture(scope="session")
def logits_of() -> Callable[[Any], Any]:
    """A model's fp32 logits on some fixed ids."""
    import torch

    def logits(model: Any) -> Any:
        ids = torch.randint(3, 300, (3, 40), generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            return model.eval()(ids).logits.float()

    return logits
