"""Loss sequences of the tiny model, step by step: a change of any of them is a change of what training means.

fp32 on one CPU; the tolerance is for the order in which other processors add. Every technique begins at the same loss:
fresh adapters change nothing, and what rounding does to the first loss is seen in the quantised and the rounded runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, Records, SftConfig
from assay.trainers.methods.sft import train_sft
from assay.trainers.run.folder import LOG
from assay.trainers.run.log import read_steps

pytestmark = pytest.mark.train
FULL = {"adapter": {"type": "none"}, "learning_rate": 1e-3}
GOLDEN: dict[str, tuple[dict[str, Any], list[float]]] = {
    "lora": ({}, [7.27896, 4.73828, 3.18606, 2.39723, 2.39799]),
    "rslora": ({"adapter": {"type": "rslora"}}, [7.27896, 3.67059, 2.12053, 1.83344, 1.72725]),
    "dora": ({"adapter": {"type": "dora"}}, [7.27896, 4.69149, 3.15492, 2.40318, 2.38147]),
    "loha": (
        {"adapter": {"type": "loha", "r": 4, "alpha": 4}},
        [7.27896, 7.44312, 7.88207, 7.12264, 7.37891],
    ),
    "lokr": (
        {"adapter": {"type": "lokr", "r": 4, "alpha": 4}},
        [7.27896, 7.16934, 7.36927, 6.49762, 6.76355],
    ),
    "full": (FULL, [7.27896, 5.777, 5.18605, 3.95416, 4.12423]),
    "llrd": (FULL | {"layerwise": {"decay": 0.5}}, [7.27896, 6.91531, 6.9364, 5.87881, 6.15528]),
    "groups": (
        FULL | {"groups": {"backbone": 1e-4, "head": 1e-3}},
        [7.27896, 7.05977, 7.21133, 6.22078, 6.54298],
    ),
    "nf4": ({"quantization": {"type": "nf4"}}, [7.3565, 4.35904, 3.29829, 2.45377, 2.30534]),
    "qat": (FULL | {"qat": {"type": "q4_0"}}, [7.4187, 5.87913, 5.31219, 4.01765, 4.09354]),
    "packed": ({"packing": True, "batch_size": 1}, [7.65152, 5.16215, 3.80504, 2.71861, 2.40425]),
}


QUICK = ("lora", "full")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GOLDEN]
)
def test_the_losses_are_these(
    name: str, tiny: Artifact, chats: Records, small_config: Callable[..., SftConfig], tmp_path: Path
) -> None:
    changes, expected = GOLDEN[name]
    made = train_sft(tiny, small_config(**{"max_steps": 5} | changes), chats, tmp_path / "out")
    assert [s.loss for s in read_steps(made.path / LOG)] == pytest.approx(expected, rel=2e-3)


def test_every_adapter_starts_at_the_bases_loss() -> None:
    firsts = {
        GOLDEN[name][1][0] for name in ("lora", "rslora", "dora", "loha", "lokr", "full", "llrd", "groups")
    }
    assert max(firsts) - min(firsts) < 1e-4
    assert abs(GOLDEN["nf4"][1][0] - GOLDEN["lora"][1][0]) > 1e-3
    assert abs(GOLDEN["qat"][1][0] - GOLDEN["full"][1][0]) > 1e-3
