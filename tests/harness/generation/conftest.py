"""One small model in every form that can be generated from: base, adapter, merged, GGUF."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.trainers import Artifact, SftConfig
from assay.trainers.data import records_from_jsonl
from assay.trainers.gguf import export_gguf
from assay.trainers.merge import merge_adapter
from assay.trainers.methods.sft import train_sft
from tests.tiny import make_tiny_model

TEXTS = [f"def f{i}(x):\n    return x + {i}\n\nAdd {i} to x, then return it." for i in range(60)]


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder: Path = tmp_path_factory.mktemp("variants")
    base = make_tiny_model(folder / "base", TEXTS)
    data = folder / "chats.jsonl"
    rows = [{"prompt": f"Add {i} to x.", "completion": f"    return x + {i}"} for i in range(64)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows * 2))
    config = SftConfig(method="sft", batch_size=8, learning_rate=2e-2, dtype="fp32", max_length=128)
    adapter = train_sft(base, config, records_from_jsonl(data), folder / "adapter")
    merged = merge_adapter(adapter, folder / "merged")
    gguf = {kind: export_gguf(merged, folder / f"{kind}.gguf", kind) for kind in ("f32", "f16", "q8_0")}
    return {"base": base, "adapter": adapter, "merged": merged, **gguf}


@pytest.fixture
def prompt_of() -> Callable[[int], str]:
    return lambda i: f"<|im_start|>user\nAdd {i} to x.<|im_end|>\n<|im_start|>assistant\n"
