"""Publish a model on the hub: its files, a card with its measurements, a manifest; planned first, sent on request.

Nothing of this machine goes along: local paths in configurations are replaced or refused, records that hold paths
stay here, and a file that contains the token stops the push.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from assay.harness.errors import BadInputError, CheckFailedError, MissingToolError
from assay.harness.leaderboard.schema import read_leaderboard
from assay.harness.models.hub import fetch
from assay.harness.models.hub.card import Measured, eval_results, public_recipe, render_card
from assay.harness.training.settings import redact
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.files import open_below, read_object

MANIFEST = "assay.json"
TOKEN = "HF_TOKEN"
_BASE_KEYS = ("base_model_name_or_path", "_name_or_path")


@dataclass(frozen=True, slots=True)
class Item:
    """One file of the push: its path on the hub, its size and sha256, and its content or the local file with it.

    A local file is opened anew for each use, below its folder and following no link: what is sent lies in the model.
    """

    path: str
    size_bytes: int
    sha256: str
    source: Path | bytes

    def open(self) -> BinaryIO:
        """Return the content. Raises UnsafePathError for a link or what is no file."""
        if isinstance(self.source, bytes):
            return BytesIO(self.source)
        return os.fdopen(open_below(self.source.parent, self.source.name), "rb")


@dataclass(frozen=True, slots=True)
class Push:
    """All files that a push sends, decided before any is sent."""

    repository: str
    artifact: Artifact
    items: tuple[Item, ...]
    measured: Measured | None
    notes: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        return sum(i.size_bytes for i in self.items)

    def to_json(self) -> dict[str, Any]:
        return {
            "repository": self.repository,
            "model": str(self.artifact.path),
            "sha256": self.artifact.sha256,
            "kind": self.artifact.kind.value,
            "size_bytes": self.size_bytes,
            "measured": self.measured.row.variant if self.measured else None,
            "files": [{"path": i.path, "size_bytes": i.size_bytes, "sha256": i.sha256} for i in self.items],
            "notes": list(self.notes),
        }


def plan_push(
    repository: str, model: Path, *, run: Path | None, base_model: str | None, licence: str | None
) -> Push:
    """Return the push of `model` to `repository`: model files, card, `.eval_results`, manifest.

    `run` is the folder of a finished run; the model's row in its leaderboard is found by content hash. Raises
    BadInputError (no such row, a local path where a hub id belongs, a token in a file), ArtifactError (no model) and
    MissingToolError.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise MissingToolError("pushing needs huggingface_hub: pip install 'assay[train]'") from None
    repository, revision = fetch.parse_name(repository)
    if revision is not None:
        raise BadInputError(f"a push goes to the repository's main branch; leave out @{revision}")
    artifact = identify(model)
    measured = _row(run, artifact) if run is not None else None
    base_model = base_model or _base_name(artifact)
    notes: list[str] = []
    licence = licence or _licence_of(artifact)
    if licence is None:
        notes.append("no licence is stated: give --license, or import the base with `assay import`")
    items = [_item(path.name, path, base_model) for path in _model_files(artifact)]
    if artifact.kind is ArtifactKind.ADAPTER and base_model is None:
        raise BadInputError(
            f"{model} is an adapter of a local folder: name its base on the hub with --base org/name"
        )
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    recipe = public_recipe(artifact.recipe or (measured.row.recipe if measured else ""))
    card = render_card(repository, artifact.kind.value, base_model, licence, recipe, measured)
    texts = {"README.md": card}
    if measured is None:
        notes.append("no run was given: the card says unmeasured (--run RESULTS/RUN)")
    elif results := eval_results(measured, created):
        texts |= results
    else:
        notes.append(
            f"suite {measured.suite!r} is no benchmark on the hub: no .eval_results, model-index only"
        )
    items += [_item(path, text.encode(), None) for path, text in texts.items()]
    push = Push(repository, artifact, tuple(items), measured, tuple(notes))
    manifest = _manifest(push, base_model, recipe, created)
    push = replace(push, items=(*push.items, _item(MANIFEST, manifest.encode(), None)))
    _refuse_secrets(push)
    return push


def send(
    push: Push, *, private: bool, on_progress: Callable[[str], None] = lambda message: None
) -> dict[str, Any]:
    """Send it as one commit and compare the hub's file hashes with ours. Raises BadInputError, CheckFailedError."""
    from huggingface_hub import CommitOperationAdd, HfApi

    from assay.suites.hub_answers import guard_hub

    guard_hub()
    token = os.environ.get(TOKEN)
    if not token:
        raise BadInputError(f"a push needs a token with write access in the environment variable {TOKEN}")
    api = HfApi(endpoint=fetch.endpoint(), token=token)
    with ExitStack() as opened:
        contents = [(i.path, opened.enter_context(i.open())) for i in push.items]
        operations = [CommitOperationAdd(path, content) for path, content in contents]
        return _commit(api, push, operations, private=private, on_progress=on_progress)


def _commit(
    api: Any, push: Push, operations: Sequence[Any], *, private: bool, on_progress: Callable[[str], None]
) -> dict[str, Any]:
    try:
        on_progress(f"creating {push.repository}")
        api.create_repo(push.repository, private=private, exist_ok=True)
        on_progress(f"sending {len(operations)} files")
        message = f"Assay: {push.artifact.kind.value} {push.artifact.sha256[:12]}"
        commit = api.create_commit(push.repository, operations, commit_message=message)
        on_progress("comparing the hub's hashes with ours")
        info = api.model_info(push.repository, revision=commit.oid, files_metadata=True)
    except Exception as error:  # the hub's client raises its own, its HTTP library's and the OS's errors
        text = str(error).strip() or type(error).__name__
        raise BadInputError(f"the push to {push.repository} failed: {redact(text.splitlines()[0])}") from None
    there = {f.rfilename: f for f in info.siblings or []}
    for item in push.items:
        sent = there.get(item.path)
        size = None if sent is None else sent.size
        sha256 = item.sha256 if sent is None or sent.lfs is None else sent.lfs.sha256
        if size != item.size_bytes or sha256 != item.sha256:
            raise CheckFailedError(
                f"{item.path} on the hub is not what was sent: {size} bytes, sha256 {sha256} there; "
                f"{item.size_bytes} bytes, {item.sha256} here. Push again."
            )
    return {"commit": commit.oid, "url": commit.commit_url, "verified_files": len(push.items)}


def _row(run: Path, artifact: Artifact) -> Measured:
    path = run / "leaderboard.json" if run.is_dir() else run
    try:
        leaderboard = read_leaderboard(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadInputError(
            f"no leaderboard at {path}: give a run's folder, as `assay run` prints it"
        ) from None
    except (OSError, ValueError, BadInputError) as error:
        raise BadInputError(
            f"{path} is not a leaderboard of Assay: {type(error).__name__}: {error}"
        ) from None
    row = next((row for row in leaderboard.rows if row.sha256 == artifact.sha256), None)
    if row is None:
        known = ", ".join(f"{row.variant} {row.sha256[:12]}" for row in leaderboard.rows)
        raise BadInputError(
            f"{path} has no row for {artifact.path} (sha256 {artifact.sha256[:12]}); it measured: {known}"
        )
    return Measured(leaderboard, row)


def _base_name(artifact: Artifact) -> str | None:
    """Return the hub id of the model at the root, where an import recorded it or a configuration names one."""
    *_, root = _imports(artifact)
    if root is not None:
        return root.repository
    config = artifact.path / "adapter_config.json"
    if config.is_file():
        named = read_object(Path(config.name), artifact.path).get("base_model_name_or_path")
        if isinstance(named, str) and _is_hub_id(named):
            return named
    return None


def _licence_of(artifact: Artifact) -> str | None:
    """Return the licence recorded at the import of the model or of one of its parents."""
    return next((i.licence for i in _imports(artifact) if i and i.licence != fetch.UNSTATED), None)


def _imports(artifact: Artifact) -> Iterator[fetch.Imported | None]:
    """Yield the import that the model came from, then those of its ancestors up to the root."""
    at: Artifact | None = artifact
    while at is not None:
        yield fetch.read_import(at.path)
        at = at.parent


def _model_files(artifact: Artifact) -> list[Path]:
    if artifact.path.is_file():
        return [artifact.path]
    patterns = (*fetch.MODEL, *fetch.LICENCES)
    return sorted({p for pattern in patterns for p in artifact.path.glob(pattern) if not p.is_dir()})


def _item(path: str, source: Path | bytes, base_model: str | None) -> Item:
    if isinstance(source, Path) and path in ("adapter_config.json", "config.json"):
        source = _without_local_paths(source, base_model)
    if isinstance(source, bytes):
        return Item(path, len(source), hashlib.sha256(source).hexdigest(), source)
    source = source.parent.resolve() / source.name
    with os.fdopen(open_below(source.parent, source.name), "rb") as content:
        size = os.fstat(content.fileno()).st_size
    return Item(path, size, fetch.hashes(Path(source.name), source.parent)[0], source)


def _without_local_paths(path: Path, base_model: str | None) -> bytes:
    """Return the configuration with the base's hub id in place of a folder of this machine."""
    config = read_object(Path(path.name), path.parent)
    for key in _BASE_KEYS:
        named = config.get(key)
        if isinstance(named, str) and named and not _is_hub_id(named):
            if key == "base_model_name_or_path" and base_model is None:
                raise BadInputError(
                    f"{path} names the local folder {named!r} as its base: name it on the hub with --base org/name"
                )
            config[key] = base_model or ""
    return (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()


def _is_hub_id(name: str) -> bool:
    try:
        fetch.parse_name(name)
    except BadInputError:
        return False
    return not name.startswith((".", "/", "~")) and not Path(name).exists()


def _manifest(push: Push, base_model: str | None, recipe: str, created: str) -> str:
    measured = push.measured
    leaderboard, row = (measured.leaderboard.to_json(), measured.row.to_json()) if measured else ({}, {})
    manifest = {
        "repository": push.repository,
        "kind": push.artifact.kind.value,
        "sha256": push.artifact.sha256,
        "base_model": base_model,
        "recipe": recipe,
        "created": created,
        "files": {i.path: {"sha256": i.sha256, "size_bytes": i.size_bytes} for i in push.items},
        "measured": measured
        and {
            "variant": measured.row.variant,
            **{key: leaderboard[key] for key in ("suite", "sampling", "seed", "machine", "isolation")},
            "pass@k": row["pass@k"],
            "outcomes": row["outcomes"],
        },
    }
    return json.dumps(manifest, indent=2) + "\n"


def _refuse_secrets(push: Push) -> None:
    """Raise BadInputError for a file, sent as text, that contains the token."""
    token = os.environ.get(TOKEN, "").encode()
    if len(token) < 8:
        return
    for item in push.items:
        if isinstance(item.source, Path) and item.source.suffix in (".safetensors", ".gguf"):
            continue
        with item.open() as content:
            leaks = token in content.read()
        if leaks:
            raise BadInputError(
                f"{item.path} contains the token of {TOKEN}; remove it there, nothing was sent"
            )
