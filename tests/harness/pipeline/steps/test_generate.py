"""Which adapters one load of their base serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.harness.pipeline.steps.generate import sharing_key
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.model.quantize import BASE_QUANTIZATION

BASE = Artifact(ArtifactKind.BASE, Path("base"), "b" * 64)


def adapter(folder: Path, **config: Any) -> Artifact:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"} | config))
    return Artifact(ArtifactKind.ADAPTER, folder, "a" * 64, BASE)


def test_plain_lora_shares_its_base(tmp_path: Path) -> None:
    assert sharing_key(adapter(tmp_path / "a", use_dora=False, bias="none", use_rslora=True)) == BASE.sha256


@pytest.mark.parametrize(
    "config", [{"peft_type": "LOHA"}, {"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["score"]}]
)
def test_what_peft_cannot_mix_does_not(tmp_path: Path, config: dict[str, Any]) -> None:
    assert sharing_key(adapter(tmp_path / "a", **config)) is None


def test_an_adapter_of_a_quantised_base_does_not(tmp_path: Path) -> None:
    made = adapter(tmp_path / "a")
    (made.path / BASE_QUANTIZATION).write_text("{}")
    assert sharing_key(made) is None
    assert sharing_key(BASE) is None
