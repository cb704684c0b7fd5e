"""What a hub answers is checked before its client makes a path of it: nothing is written outside the cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from assay.harness.errors import BadInputError, exit_code_of
from assay.harness.models.hub.fetch import RECORD, read_import, snapshot
from assay.harness.models.hub.push import plan_push
from assay.harness.models.resolve import POCKET_FOLDER
from assay.trainers.errors import TrainersError
from tests.strangers import Asked, Reply, stranger

pytest.importorskip("huggingface_hub", reason="needs the train extra: pip install 'assay[train]'")
COMMIT = "a" * 40
FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


def hub(files: dict[str, Any] | None = None, sha: str = COMMIT, **headers: str) -> Reply:
    """A hub of one repository; `files`, `sha` and the headers of its files are the stranger's."""
    named = [{"rfilename": name} for name in FILES] if files is None else files
    tree = (
        [{"type": "file", "path": name, "oid": "b" * 40, "size": 2} for name in FILES]
        if files is None
        else files
    )

    def reply(asked: Asked) -> tuple[int, dict[str, str], Any]:
        path = asked.path.partition("?")[0]
        kind = {"content-type": "application/json"}
        if "/tree/" in path:
            return 200, kind, tree
        if path.startswith("/api/"):
            return 200, kind, {"id": "org/m", "sha": sha, "siblings": named}
        content = FILES.get(path.rpartition("/")[2], b"{}")
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return 200, {"ETag": f'"{git}"', "X-Repo-Commit": COMMIT} | headers, content

    return reply


UP = "../../../../../outside"
HOSTILE: dict[str, Reply] = {
    "an etag": hub(ETag=f'"{UP}"'),
    "a weak etag": hub(ETag=f'W/"{UP}"'),
    "an etag at the root": hub(ETag='"/tmp/outside"'),
    "an etag of dots": hub(ETag='".."'),
    "an etag of a folder": hub(ETag='"a/b"'),
    "an etag with a backslash": hub(ETag='"..\\\\..\\\\outside"'),
    "an etag of no end": hub(ETag=f'"{"a" * 5000}"'),
    "a linked etag": hub(**{"X-Linked-Etag": f'"{UP}"'}),
    "a commit in a header": hub(**{"X-Repo-Commit": UP}),
    "a commit at the root": hub(**{"X-Repo-Commit": "/tmp/outside"}),
    "a branch for a commit": hub(**{"X-Repo-Commit": "main"}),
    "a commit in the answer": hub(sha=UP),
    "a commit of dots": hub(sha=".."),
    "a commit with an end of line": hub(sha=COMMIT + "\n"),
    "a file above": hub(
        files=[{"rfilename": f"tokenizer/{UP}", "path": f"tokenizer/{UP}", "type": "file", "size": 1}]
    ),
    "a file at the root": hub(
        files=[{"rfilename": "/tmp/outside", "path": "/tmp/outside", "type": "file", "size": 1}]
    ),
    "a file with escapes": hub(
        files=[{"rfilename": "tokenizer\x1b[2J", "path": "tokenizer\x1b[2J", "type": "file"}]
    ),
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    cache = tmp_path / "a" / "b" / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name in ("HTTP_PROXY", "http_proxy", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return cache


@pytest.mark.parametrize("case", HOSTILE)
def test_no_name_of_a_hub_leads_out_of_the_cache(
    case: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stranger(HOSTILE[case]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url.removesuffix("/v1"))
        with pytest.raises(BadInputError, match="could not fetch org/m") as refused:
            snapshot("org/m", None)
        assert server.asked
    assert "which is none" in str(refused.value)
    assert str(refused.value).isprintable()
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(cache)]
    assert outside == []
    assert not Path("/tmp/outside").exists()


def test_an_honest_hub_is_fetched_from(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stranger(hub()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url.removesuffix("/v1"))
        fetched = snapshot("org/m", None)
    assert (fetched.commit, fetched.source) == (COMMIT, "hub")
    assert fetched.folder.is_relative_to(cache)
    assert (fetched.folder / "model.safetensors").read_bytes() == b"weights"


# What a folder that is pushed may hold: (what a stranger puts there, what is said)
def model(folder: Path) -> Path:
    out = folder / "model"
    out.mkdir()
    for path in POCKET_FOLDER.iterdir():
        if path.is_file() and path.name != "artifact.json":
            (out / path.name).write_bytes(path.read_bytes())
    (folder / "id_rsa").write_text("the user's own")
    return out


@pytest.mark.parametrize(
    "name", ["LICENSE-x", "NOTICE", "tokenizer_extra", "chat_template.jinja", "README.md"]
)
@pytest.mark.parametrize("target", ["../id_rsa", "/etc/hostname", "config.json", "nothing"])
def test_a_push_sends_no_file_that_a_link_leads_to(name: str, target: str, tmp_path: Path) -> None:
    """One within the folder too: which file is meant is not for its author to say in two ways."""
    folder = model(tmp_path)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    if name == "README.md" and target == "config.json":  # ours takes its place, it is never read
        sent = plan_push("org/name", folder, run=None, base_model=None, licence=None).items
        assert [type(item.source) for item in sent if item.path == name] == [bytes]
        return
    with pytest.raises(TrainersError, match="is a link") as refused:
        plan_push("org/name", folder, run=None, base_model=None, licence=None)
    assert exit_code_of(refused.value) == 3


def test_a_file_that_becomes_a_link_after_the_plan_is_not_sent(tmp_path: Path) -> None:
    folder = model(tmp_path)
    (folder / "LICENSE").write_text("free")
    push = plan_push("org/name", folder, run=None, base_model=None, licence=None)
    (item,) = (one for one in push.items if one.path == "LICENSE")
    with item.open() as content:
        assert content.read() == b"free"
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").symlink_to("../id_rsa")
    with pytest.raises(TrainersError, match="is a link"):
        item.open()


RECORDS: dict[str, dict[str, Any]] = {
    "a repository that is none": {"repository": "org/name\n# Measured"},
    "a licence with markup": {"licence": "mit\n---\n# Measured\n"},
    "a licence that is a list": {"licence": ["mit"]},
    "a commit that is a path": {"commit": "../../x"},
    "a file above": {"files": [{"path": "../x", "size_bytes": 1, "sha256": "", "verified": "sha256"}]},
    "files that are none": {"files": [1]},
    "more than it holds": {"other": 1},
}


@pytest.mark.parametrize("case", RECORDS)
def test_an_import_record_that_holds_something_else_is_none(case: str, tmp_path: Path) -> None:
    record = {
        "repository": "org/name",
        "revision": "main",
        "commit": COMMIT,
        "licence": "mit",
        "source": "hub",
        "files": [],
    }
    (tmp_path / RECORD).write_text(json.dumps(record))
    assert read_import(tmp_path) is not None
    (tmp_path / RECORD).write_text(json.dumps(record | RECORDS[case]))
    assert read_import(tmp_path) is None
