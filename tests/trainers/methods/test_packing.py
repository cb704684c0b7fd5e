"""Packing: the same tokens are trained on, and no chat sees another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from assay.trainers import Artifact, Records, SftConfig, load_records
from assay.trainers.data import DataConfig
from assay.trainers.methods.sft import build_trainer

pytestmark = pytest.mark.train
Make = Callable[..., SftConfig]


@pytest.fixture
def uneven(tmp_path: Path) -> Records:
    path = tmp_path / "uneven.jsonl"
    rows = [{"prompt": f"Add {i}.", "completion": f"x + {i}" + " + 1" * (i * 7 % 13)} for i in range(32)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_records(DataConfig(file=path))


def test_packed_and_unpacked_train_on_the_same_tokens(
    tiny: Artifact, uneven: Records, small_config: Make, tmp_path: Path
) -> None:
    found = []
    for packing in (False, True):
        data = build_trainer(
            tiny, small_config(packing=packing), uneven, tmp_path / str(packing)
        ).train_dataset
        ids = Counter(i for row in data for i in row["input_ids"])
        trained = Counter(i for row in data for i in row["labels"] if i >= 0)
        found.append((ids, trained, len(data)))
    (ids, trained, rows), (packed_ids, packed_trained, packed_rows) = found
    assert (ids, trained) == (packed_ids, packed_trained)
    assert packed_rows < rows / 2


def test_a_packed_chats_logits_are_those_of_the_chat_alone(
    tiny: Artifact, uneven: Records, small_config: Make, tmp_path: Path
) -> None:
    """To 1e-5; and with the boundaries taken away they are not, so that the test could fail."""
    import torch

    trainer = build_trainer(tiny, small_config(packing=True, batch_size=2), uneven, tmp_path / "packed")
    batch = next(iter(trainer.get_train_dataloader()))
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    starts = [*(batch["position_ids"][0] == 0).nonzero()[:, 0].tolist(), batch["input_ids"].shape[1]]
    assert len(starts) > 4
    with torch.inference_mode():
        packed = trainer.model(**inputs, use_cache=False).logits[0]
        alone = torch.cat(
            [trainer.model(input_ids=batch["input_ids"][:, a:b]).logits[0] for a, b in pairwise(starts)]
        )
        joined = trainer.model(input_ids=batch["input_ids"], use_cache=False).logits[0]
    assert (packed - alone).abs().max() <= 1e-5 * alone.abs().max()
    assert (joined - alone).abs().max() > 0.1
    assert (batch["labels"][0][starts[:-1]] == -100).all(), "no chat's first token is predicted"
