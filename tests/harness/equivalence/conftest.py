"""A model, its adapter, what is made of it, and texts to compare on; each fault is planted in a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.harness.equivalence import Link, Passage, compare_links
from assay.harness.models.resolve import resolve_model
from assay.trainers import Artifact, identify
from assay.trainers.gguf import export_gguf
from assay.trainers.merge import merge_adapter
from tests.tiny import make_tiny_model
from tests.trainers.merge.test_kinds import random_adapter

TEXTS = [f"def f{i}(x):\n    return x + {i}\n\nAdd {i} to x, then return it." for i in range(60)]
PASSAGES = [
    *(Passage(f"def f{i}(x):\n    return x + {i}\n\n\nprint(f{i}({i * 7}))\n") for i in range(8)),
    *(Passage(f"    return x + {i}", (("user", f"Add {i} to x."),)) for i in range(8)),
]


@dataclass(frozen=True)
class Chain:
    """Healthy: base, adapter, merged and GGUF files of one model; `tied` is another, whose head is its embedding."""

    base: Artifact
    adapter: Artifact
    merged: Artifact
    f16: Artifact
    q8_0: Artifact
    tied: Artifact
    tied_f16: Artifact


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder: Path = tmp_path_factory.mktemp("chain")
    base = resolve_model("pocket")
    adapter = random_adapter(base, folder / "adapter", "lora", noise=0.05)
    merged = merge_adapter(adapter, folder / "merged")
    # A random model's logits are so far apart that F16 already moves them; its embedding, which is its head, is damped.
    tied = edited(make_tiny_model(folder / "wild", TEXTS, tied=True, seed=1), folder / "tied", damp)
    return Chain(
        base,
        adapter,
        merged,
        export_gguf(merged, folder / "f16.gguf", "f16"),
        export_gguf(merged, folder / "q8_0.gguf", "q8_0"),
        tied,
        export_gguf(tied, folder / "tied.gguf", "f16"),
    )


def damp(weights: dict[str, Any]) -> None:
    weights["model.embed_tokens.weight"] *= 0.1


@pytest.fixture(scope="session")
def held_against() -> Callable[[Artifact, Artifact], Link]:
    def link(a: Artifact, b: Artifact) -> Link:
        return compare_links({"a": a, "b": b}, PASSAGES, threads=1, greedy_tokens=16)[0]

    return link


def edited(
    model: Artifact, out: Path, weights: Callable[[dict[str, Any]], None] | None = None, **config: Any
) -> Artifact:
    """A copy of a model folder with its weights or its configuration changed, and no record of where it came from."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model.path, out)
    for record in ("artifact.json", "PROVENANCE.json"):
        (out / record).unlink(missing_ok=True)
    (out / "config.json").write_text(json.dumps(json.loads((out / "config.json").read_text()) | config))
    if weights is not None:
        tensors = load_file(out / "model.safetensors")
        weights(tensors)
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return identify(out)


def with_token_type(model: Artifact, out: Path, token_id: int, kind: int) -> Artifact:
    """A copy of a GGUF file in which one token has another type."""
    import gguf

    shutil.copyfile(model.path, out)
    reader = gguf.GGUFReader(str(out), "r+")
    field = reader.fields["tokenizer.ggml.token_type"]
    field.parts[field.data[token_id]][0] = kind
    reader.data.flush()
    return identify(out)
