"""A model folder of somebody else's is read: no code that it names is run, and no file but its own is opened."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.harness.models.resolve import POCKET_FOLDER
from assay.trainers.artifact import identify
from assay.trainers.errors import ArtifactError

ROOT = Path(__file__).parents[2]
CODE = "import pathlib\npathlib.Path({mark!r}).touch()\n"
FILES = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that loads, with a secret of the user's beside it and a module that leaves a mark where it runs."""
    out = tmp_path / "model"
    shutil.copytree(POCKET_FOLDER, out)
    (out / "artifact.json").unlink(missing_ok=True)
    (tmp_path / "secret").write_text("the user's own")
    (out / "own.py").write_text(CODE.format(mark=str(tmp_path / "ran")))
    return out


@pytest.fixture(autouse=True)
def _yes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever asks on the terminal is told yes, and nobody may."""
    questions: list[object] = []

    def answer(*question: object) -> str:
        questions.append(question)
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    yield
    assert questions == []


def change(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    content.update(values)
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "config.json", **values)


def adapter(**values: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        base = folder.parent / "base"
        shutil.copytree(POCKET_FOLDER, base)
        shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
        for name in ("config.json", "model.safetensors"):
            (folder / name).unlink()
        change(folder / "adapter_config.json", peft_type="LORA", base_model_name_or_path=str(base), **values)

    return make


def words(folder: Path) -> None:
    adapter()(folder)
    own = {"AutoTokenizer": ["own.Own", None]}
    change(folder / "tokenizer_config.json", tokenizer_class="Own", auto_map=own)


def index(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))

    return make


def decoy(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def link(name: str, to: str = "../secret") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(to if path.parent == folder else f"../{to}")

    return make


def pipe(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return make


def stream(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "vocab.json"))


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "code": (
        config(model_type="own", auto_map=FILES),
        "needs code of its own: config.json names .*own.OwnConfig",
    ),
    "code of a repository": (
        config(model_type="own", auto_map={"AutoConfig": "org/other--own.OwnConfig"}),
        "needs code of its own",
    ),
    "code of no type": (config(model_type=None, auto_map=FILES), "needs code of its own"),
    "code of an odd type": (config(model_type=["qwen2"], auto_map=FILES), "needs code of its own"),
    "code of a type that is no causal model": (
        config(model_type="vit", auto_map=FILES),
        "needs code of its own",
    ),
    "a kernel": (config(attn_implementation="org/kernel"), "attn_implementation = 'org/kernel' names code"),
    "a kernel's revision": (
        config(_attn_implementation="org/kernel@v1:flash"),
        "names code that would be fetched",
    ),
    "a kernel below": (config(text_config={"attn_implementation": {"": "org/kernel"}}), "names code"),
    "a kernel of experts": (config(experts_implementation="org/kernel"), "names code"),
    "kernels by layer": (config(use_kernels={"RMSNorm": "org/kernel"}), "names code"),
    "a module of an adapter": (
        adapter(megatron_config={"a": 1}, megatron_core="own"),
        "names a module to import .megatron_core = 'own'",
    ),
    "a module's name alone": (adapter(megatron_core="own"), "names a module to import"),
    "an adapter's words": (words, "tokenizer_config.json names"),
    "a shard above": (index("../secret.safetensors"), "names the shard '../secret.safetensors'"),
    "a shard at the root": (index("/etc/x.safetensors"), "which is no file of this folder"),
    "a shard below": (index("a/b.safetensors"), "which is no file of this folder"),
    "a shard that is a pickle": (index("pytorch_model.bin"), "which is no file of this folder"),
    "a pickle beside a decoy": (decoy, "pickled weights run code"),
    "config elsewhere": (link("config.json", "base/config.json"), "no model|link|neither"),
    "template elsewhere": (link("chat_template.jinja"), "is a link that leads out of the folder"),
    "tokenizer elsewhere": (link("tokenizer.json"), "is a link that leads out"),
    "vocabulary elsewhere": (link("vocab.txt"), "is a link that leads out"),
    "licence elsewhere": (link("LICENSE-x"), "is a link that leads out"),
    "weights elsewhere": (link("model.safetensors"), "is a link that leads out"),
    "more templates elsewhere": (link("additional_chat_templates/a.jinja"), "is a link that leads out"),
    "a folder of templates elsewhere": (link("additional_chat_templates", ".."), "is a link that leads out"),
    "a link at the root": (link("merges.txt", "/etc/hostname"), "is a link that leads out"),
    "a link to nothing": (link("merges.txt", "nothing"), "is a link to nothing"),
    "a link to itself": (link("merges.txt", "merges.txt"), "link"),
    "a pipe as tokenizer": (pipe("tokenizer.json"), "is no file .a pipe"),
    "a pipe as vocabulary": (pipe("vocab.txt"), "is no file"),
    "a pipe as record": (pipe("artifact.json"), "is no file"),
    "a socket": (stream, "is no file"),
    "a config too deep": (lambda folder: (folder / "config.json").write_text("[" * 100_000) and None, "JSON"),
    "a config that is a list": (
        lambda folder: (folder / "config.json").write_text("[]") and None,
        "JSON object",
    ),
    "a config of bytes": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{") and None, "JSON"),
}


@pytest.mark.train
@pytest.mark.parametrize("case", HOSTILE)
def test_a_folder_that_would_run_code_or_leads_elsewhere_is_refused_by_name(folder: Path, case: str) -> None:
    make, said = HOSTILE[case]
    make(folder)
    with pytest.raises(ArtifactError, match=said) as refused:
        identify(folder)
    assert str(folder) in str(refused.value)
    assert not (folder.parent / "ran").exists()


@pytest.mark.train
def test_known_architectures_are_loaded_by_the_librarys_own_code(folder: Path) -> None:
    """An auto_map beside a known type asks for nothing: what it names is not run."""
    from assay.trainers.model.prepare import empty_model
    from assay.trainers.templates import load_tokenizer

    change(folder / "config.json", auto_map=FILES)
    words = {"AutoTokenizer": ["own.OwnTokenizer", "own.OwnTokenizer"]}
    change(folder / "tokenizer_config.json", auto_map=words)
    assert type(empty_model(str(folder))).__module__.startswith("transformers.")
    assert type(load_tokenizer(identify(folder))).__module__.startswith("transformers.")
    assert not (folder.parent / "ran").exists()


@pytest.mark.train
def test_no_loader_asks_or_runs_where_the_check_was_passed_by(folder: Path) -> None:
    from assay.trainers.gguf.vocabulary import effective_tokenizer
    from assay.trainers.model.prepare import empty_model

    change(folder / "config.json", model_type="own", auto_map=FILES)
    change(
        folder / "tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", None]}
    )
    for load in (lambda: empty_model(str(folder)), lambda: effective_tokenizer(folder)):
        with pytest.raises((ValueError, OSError)):
            load()
    assert not (folder.parent / "ran").exists()


def test_a_folder_of_the_hubs_cache_is_read_through_its_links(folder: Path) -> None:
    """snapshots/COMMIT/name → ../../blobs/hash, as the hub's client lays its cache out; and nowhere else."""
    repository = folder.parent / "models--org--name"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / ("c" * 40)
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(p for p in folder.iterdir() if p.is_file())):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert identify(snapshot).sha256 == identify(folder).sha256
    (snapshot / "NOTICE").symlink_to("../../../secret")
    with pytest.raises(ArtifactError, match="leads out of the folder"):
        identify(snapshot)


def test_a_link_within_the_folder_and_a_link_to_the_folder_are_the_users_own(
    folder: Path, tmp_path: Path
) -> None:
    before = identify(folder).sha256
    (folder / "LICENSE").write_text("free")
    (folder / "LICENSE-too").symlink_to("LICENSE")
    (tmp_path / "here").symlink_to("model")
    assert identify(tmp_path / "here").sha256 == before


def test_two_adapters_that_name_each_other_are_refused(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_bytes(b"x")
        change(tmp_path / name / "adapter_config.json", base_model_name_or_path=str(tmp_path / other))
    with pytest.raises(ArtifactError, match="which is an adapter too: merge that one first"):
        identify(tmp_path / "a")


OTHERS = ("PeftModel", "PeftConfig", "Setup", "type(self)")  # they read no `auto_map`; Setup is ours


def test_every_load_refuses_code_and_pickles() -> None:
    """Each call of transformers' loaders, in everything of ours that is installed or run."""
    calls, missing = 0, []
    for root in ("harness", "trainers", "suites", "sandbox", "benchmarks"):
        for path in sorted((ROOT / root).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                owner = ast.unparse(node.func.value)
                if node.func.attr not in ("from_pretrained", "from_config") or owner in OTHERS:
                    continue
                if owner == "AutoHfQuantizer":  # of a table, not of a folder
                    continue
                calls += 1
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                weights = owner.startswith("AutoModel") and node.func.attr == "from_pretrained"
                if given.get("trust_remote_code") != "False" or (
                    weights and given.get("use_safetensors") != "True"
                ):
                    missing.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert calls > 20
    assert missing == []
