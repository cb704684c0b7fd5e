"""Artifacts: told apart by their files, hashed by their content, held against their record."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from assay.trainers import Artifact, ArtifactError, ArtifactKind, identify
from assay.trainers.artifact import describe, model_folder, record_path


def make_base(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["Qwen2ForCausalLM"]}')
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def make_adapter(folder: Path, base: str, modules: list[str]) -> Path:
    folder.mkdir(parents=True)
    config = {"base_model_name_or_path": base, "r": 8, "target_modules": modules}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"delta")
    return folder


def test_a_plain_folder_is_a_base_and_its_hash_follows_its_content(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "m")
    found = identify(folder)
    assert (found.kind, found.parent) == (ArtifactKind.BASE, None)
    (folder / "README.md").write_text("words")
    (folder / "train_log.jsonl").write_text("{}")
    assert identify(folder).sha256 == found.sha256, "a log or a README makes no other model"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        copy = Path(shutil.copytree(folder, tmp_path / name))
        (copy / name).write_bytes((copy / name).read_bytes() + b" ")
        assert identify(copy).sha256 != found.sha256, name


def test_the_hash_is_that_of_names_and_contents(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "m")
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        digest.update(f"{name}\0{hashlib.sha256((folder / name).read_bytes()).hexdigest()}\n".encode())
    assert identify(folder).sha256 == digest.hexdigest()


def test_an_adapter_finds_its_base_and_its_hash_ignores_where_that_lies(tmp_path: Path) -> None:
    one, two = make_base(tmp_path / "one"), make_base(tmp_path / "two")
    a = identify(make_adapter(tmp_path / "a", str(one), ["q_proj", "v_proj"]))
    b = identify(make_adapter(tmp_path / "b", str(two), ["v_proj", "q_proj"]))
    assert a.kind is ArtifactKind.ADAPTER
    assert a.parent is not None
    assert model_folder(a) == one
    assert a.sha256 == b.sha256, (
        "same matrices on the same base, wherever it lies and however PEFT wrote its sets"
    )
    other = make_base(tmp_path / "other", b"other weights")
    c = identify(make_adapter(tmp_path / "c", str(other), ["q_proj", "v_proj"]))
    assert c.sha256 != a.sha256, "on another base it is another model"


def test_an_adapter_of_a_hub_model_needs_its_base_named(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a", "org/some-model", ["q_proj"])
    with pytest.raises(ArtifactError, match="org/some-model"):
        identify(folder)
    base = identify(make_base(tmp_path / "base"))
    assert identify(folder, base=base).parent == base


def test_a_merged_model_is_told_by_its_record(tmp_path: Path) -> None:
    base = identify(make_base(tmp_path / "base"))
    adapter = identify(make_adapter(tmp_path / "a", str(base.path), ["q_proj"]))
    merged = describe(ArtifactKind.MERGED, make_base(tmp_path / "m", b"merged"), adapter, "by hand")
    assert identify(merged.path) == merged
    record_path(merged.path).unlink()
    assert identify(merged.path).kind is ArtifactKind.BASE


def test_the_record_survives_a_rename(tmp_path: Path) -> None:
    base = identify(make_base(tmp_path / "base"))
    made = describe(ArtifactKind.MERGED, make_base(tmp_path / "part", b"merged"), base, "by hand")
    moved = identify((tmp_path / "part").rename(tmp_path / "final"))
    assert (moved.sha256, moved.parent, moved.recipe) == (made.sha256, base, "by hand")


def test_a_gguf_file_hashes_as_sha256sum_does(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF and more")
    merged = identify(make_base(tmp_path / "m"))
    made = describe(ArtifactKind.GGUF, file, merged, "exported")
    assert made.sha256 == hashlib.sha256(b"GGUF and more").hexdigest()
    assert identify(file) == made
    assert record_path(file).name == "m.gguf.artifact.json"
    with pytest.raises(ArtifactError, match="GGUF file"):
        model_folder(made)


def test_files_that_changed_since_the_record_are_refused(tmp_path: Path) -> None:
    made = describe(ArtifactKind.BASE, make_base(tmp_path / "m"), None, "")
    (made.path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="has changed since it was made"):
        identify(made.path)


def test_an_adapter_whose_base_changed_is_refused(tmp_path: Path) -> None:
    base = identify(make_base(tmp_path / "base"))
    describe(ArtifactKind.ADAPTER, make_adapter(tmp_path / "a", str(base.path), ["q"]), base, "")
    (base.path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="has changed"):
        identify(tmp_path / "a")


def broken(tmp_path: Path) -> dict[str, Path]:
    cases = {name: tmp_path / name for name in ("m.apr", "m.bin", "damaged.gguf", "empty", "pickled", "half")}
    for name in ("m.apr", "m.bin", "damaged.gguf"):
        cases[name].write_bytes(b"????")
    for name in ("empty", "pickled", "half"):
        cases[name].mkdir()
    (cases["pickled"] / "config.json").write_text("{}")
    (cases["pickled"] / "pytorch_model.bin").write_bytes(b"\x80")
    (cases["half"] / "adapter_config.json").write_text("{}")
    return cases | {"absent": tmp_path / "absent"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "no such file"),
        ("m.apr", r"APR format \(\.apr\) is unsupported"),
        ("m.bin", r"unknown model format '\.bin'"),
        ("damaged.gguf", "GGUF magic"),
        ("empty", "not a model folder"),
        ("pickled", "pickled weights"),
        ("half", "no adapter_model.safetensors"),
    ],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, name: str, says: str) -> None:
    path = broken(tmp_path)[name]
    with pytest.raises(ArtifactError, match=says) as refused:
        identify(path)
    assert str(path) in str(refused.value)


def test_a_damaged_record_names_its_field(tmp_path: Path) -> None:
    made: Artifact = describe(ArtifactKind.BASE, make_base(tmp_path / "m"), None, "")
    record_path(made.path).write_text('{"kind": "base", "sha256": 3}')
    with pytest.raises(ArtifactError, match="sha256"):
        identify(made.path)
