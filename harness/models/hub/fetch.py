"""Fetch a model from the hub: a named revision, its files verified against the hub's hashes, its licence recorded.

Only the files of a model are fetched: safetensors or one GGUF file, configuration, tokenizer, card and licence. Pickled
weights are refused: loading one runs whatever code its author put into it.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from assay.harness.errors import BadInputError, MissingToolError, UnreachableError
from assay.suites.hub_answers import COMMIT
from assay.suites.model import SuiteError
from assay.trainers.files import open_below, open_file, publish, read_object

# The files of a folder that are the model, the same on the way in and on the way out.
CARD = "README.md"
LICENCES = ("LICENSE*", "NOTICE*")
MODEL = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
RECORD = "import.json"
UNSTATED = "unstated"
_NAME = re.compile(
    r"^(?:hf://)?(?P<repository>[\w][\w.-]*/[\w][\w.-]*?)(?:@(?P<revision>[\w][\w./-]*))?$", re.ASCII
)
_WEIGHTS = (".safetensors", ".gguf")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_UNSUPPORTED = {".apr": "APR", ".onnx": "ONNX", ".h5": "Keras", ".msgpack": "Flax", ".mlmodel": "Core ML"}
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """One file of a repository; `verified` names the hash that its content was compared with."""

    path: str
    size_bytes: int
    sha256: str
    verified: Literal["sha256", "git-sha1"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository's files at one commit in the local hub cache; `source` tells whether the hub gave the commit."""

    repository: str
    commit: str
    folder: Path
    source: Literal["hub", "cache"]


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of `assay import`: the folder and the origin of every file in it."""

    repository: str
    revision: str
    commit: str
    licence: str
    source: Literal["hub", "cache"]
    files: tuple[File, ...]
    folder: Path

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder), "files": [asdict(f) for f in self.files]}


def parse_name(name: str) -> tuple[str, str | None]:
    """Split `hf://org/name[@revision]`, or the same without the scheme, into (repository, revision)."""
    _refuse_format(name)
    match = _NAME.match(name)
    if match is None:
        raise BadInputError(f"{name!r} is not a hub name; write hf://org/name or hf://org/name@revision")
    return match["repository"], match["revision"]


def snapshot(
    repository: str, revision: str | None, *, file: str | None = None, online: bool = True
) -> Snapshot:
    """Fetch the model's files, or the single GGUF `file`, into the hub's cache, and return their folder.

    Without `online`, with HF_HUB_OFFLINE set, or with no answer from the hub, the cache alone is used, which `source`
    records. Raises BadInputError (no such repository, revision or file; pickled weights only), UnreachableError (no
    answer, and not whole in the cache) or MissingToolError.
    """
    try:
        from huggingface_hub import constants, errors, snapshot_download

        from assay.suites.hub_answers import guard_hub
    except ImportError:
        raise MissingToolError(
            f"{repository!r} lies on the hub; to fetch it: pip install 'assay[train]', or give a local folder"
        ) from None
    name = repository + (f"@{revision}" if revision else "")
    guard_hub()
    offline = bool(constants.HF_HUB_OFFLINE) or not online

    try:
        commit = None if offline else _commit(repository, revision)
        fetched = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=_patterns(file),
            ignore_patterns=None if file else ["*/*"],
            local_files_only=commit is None,
            endpoint=endpoint(),
        )
    except errors.GatedRepoError as error:
        raise BadInputError(
            f"{name}: its owner gives access on request; ask on its page, then set HF_TOKEN ({_first(error)})"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadInputError(f"{repository} has no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInputError(
            f"no repository {repository!r} on the hub (a private one needs HF_TOKEN)"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        reason = (
            "the hub does not answer"
            if not offline
            else "HF_HUB_OFFLINE is set"
            if online
            else "it was not asked"
        )
        raise UnreachableError(
            f"{name} is not whole in the local hub cache and {reason}: fetch it once with a connection, or give a "
            "local folder"
        ) from error
    except Exception as error:
        unanswered = _is_unanswered(error)
        if isinstance(error, SuiteError):
            raise BadInputError(f"could not fetch {name}: {error}") from error
        if not unanswered and not isinstance(error, errors.HfHubHTTPError | OSError | ValueError):
            raise
        kind = UnreachableError if unanswered else BadInputError
        raise kind(f"could not fetch {name} from the hub: {_first(error)}") from error
    folder = Path(fetched)
    _require_weights(folder, name, file, online=not offline)
    return Snapshot(repository, commit or folder.name, folder, "hub" if commit else "cache")


def import_model(name: str, out: Path, *, file: str | None = None) -> Imported:
    """Fetch `name` into the new folder `out`, every file's content verified, with `import.json` beside them.

    Weights are hard links into the hub's cache where the file system allows, copies elsewhere; all else is copied.
    A folder that holds the same import already is left as it is. Raises BadInputError.
    """
    repository, revision = parse_name(name)
    if file is not None:
        _refuse_format(file)
    _refuse_other(out, repository)
    fetched = snapshot(repository, revision, file=file)
    if (before := read_import(out)) is not None:
        if before.commit == fetched.commit and _unchanged(before):
            return before
        raise BadInputError(
            f"{out} holds {repository} at {before.commit[:12]}, or was changed since; {fetched.commit[:12]} is asked "
            "for: remove the folder or import into another"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with publish(out) as part:
        part.mkdir()
        files = tuple(_place(path, fetched.folder, part) for path in _files(fetched.folder, file))
        imported = Imported(
            repository=repository,
            revision=revision or "main",
            commit=fetched.commit,
            licence=_licence(part / CARD),
            source=fetched.source,
            files=files,
            folder=out,
        )
        record = imported.to_json()
        del record["folder"]
        (part / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return imported


def read_import(folder: Path) -> Imported | None:
    """Return the import that `folder` came from, or None where it came from none."""
    try:
        record = read_object(Path(RECORD), folder)
        files = tuple(File(**f) for f in record.pop("files"))
        imported = Imported(files=files, folder=folder, **record)
        return imported if _is_sound(imported) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_sound(imported: Imported) -> bool:
    """Return whether a record, which may be somebody else's, holds what a record holds: its texts reach cards."""
    texts = (imported.repository, imported.commit, imported.licence, *(f.path for f in imported.files))
    return (
        all(isinstance(text, str) and text.isprintable() and len(text) <= 200 for text in texts)
        and _NAME.match(imported.repository) is not None
        and COMMIT.fullmatch(imported.commit) is not None
        and all("/" not in f.path and f.path not in ("", "..") for f in imported.files)
    )


def endpoint() -> str | None:
    """Return the address of the hub in use: HF_ENDPOINT at the time of the call, else the library's own (None)."""
    return os.environ.get("HF_ENDPOINT") or None


def _commit(repository: str, revision: str | None) -> str | None:
    """Return the commit that `revision` names on the hub; None where the hub cannot be reached."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi(endpoint=endpoint()).model_info(repository, revision=revision).sha)
    except Exception as error:
        if _is_unanswered(error):
            return None
        raise


def _is_unanswered(error: Exception) -> bool:
    """Return whether the hub was not reached or is out of order; a refusal is an answer."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled | ConnectionError | TimeoutError):
        return True
    if isinstance(error, HfHubHTTPError):
        return error.response is not None and error.response.status_code >= 500
    # the client's HTTP library differs between versions; its errors share these names
    return type(error).__name__ in ("ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError")


def _files(folder: Path, file: str | None) -> Iterator[Path]:
    """Yield the snapshot's own files; the cache may hold more of the same commit from other programs."""
    for pattern in _patterns(file):
        yield from sorted(p for p in folder.glob(pattern) if p.is_file())


def _patterns(file: str | None) -> list[str]:
    return [*((glob.escape(file),) if file else MODEL), CARD, *LICENCES]


def _place(path: Path, root: Path, to: Path) -> File:
    """Verify one file against the name of its blob (the hub's hash of it) and place it under `to`."""
    relative = path.relative_to(root)
    blob = path.resolve()
    target = to / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256, git_sha1 = hashes(blob)
    known: dict[int, tuple[Literal["sha256", "git-sha1"], str]] = {
        64: ("sha256", sha256),
        40: ("git-sha1", git_sha1),
    }
    if len(blob.name) not in known:
        raise BadInputError(f"{relative}: the hub gave no content hash for it (its blob is {blob.name!r})")
    verified, actual = known[len(blob.name)]
    if actual != blob.name:
        raise BadInputError(
            f"{relative} is damaged: its {verified} is {actual}, the hub's is {blob.name}; remove {blob} and fetch "
            "again"
        )
    linked = False
    if path.suffix in _WEIGHTS:
        with contextlib.suppress(OSError):  # another file system
            os.link(blob, target)
            linked = True
    if not linked:
        shutil.copyfile(blob, target)
    return File(str(relative), blob.stat().st_size, sha256, verified)


def _licence(card: Path) -> str:
    """Return the licence that a model card's front matter names."""
    if not card.is_file():
        return UNSTATED
    import yaml
    from huggingface_hub import ModelCard

    try:
        read: Any = ModelCard(card.read_text(encoding="utf-8"))
        data = read.data.to_dict()
        licence = data.get("license")
        text = str((data.get("license_name") if licence == "other" else None) or licence or UNSTATED)
    except (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        OSError,
        yaml.YAMLError,
    ):  # a stranger's front matter
        return UNSTATED
    return text if text.isprintable() and len(text) <= 200 else UNSTATED


def _require_weights(folder: Path, name: str, file: str | None, *, online: bool) -> None:
    if file is not None:
        if not (folder / file).is_file():
            raise BadInputError(f"{name} has no file {file!r}")
        return
    if any(folder.glob("*.safetensors")):
        return
    files = _listing(name) if online else []
    ggufs = sorted(f for f in files if f.endswith(".gguf"))
    if ggufs:
        raise BadInputError(f"{name} holds GGUF files; name one with --file: {', '.join(ggufs)}")
    if pickles := sorted(f for f in files if f.endswith(_PICKLES)):
        raise BadInputError(
            f"{name} has its weights as pickles only ({', '.join(pickles[:3])}), which run code when loaded: "
            "convert it to safetensors, or use a revision that has them"
        )
    for suffix, label in _UNSUPPORTED.items():
        if any(f.endswith(suffix) for f in files):
            raise BadInputError(f"{name} has its weights in the {label} format, which is unsupported")
    raise BadInputError(f"{name} holds no weights (no .safetensors, no .gguf)")


def _listing(name: str) -> list[str]:
    """Return all files of the repository; [] where the hub does not answer."""
    from huggingface_hub import HfApi

    repository, revision = parse_name(name)
    try:
        return list(HfApi(endpoint=endpoint()).list_repo_files(repository, revision=revision))
    except Exception:  # only the wording of an error that is raised anyway depends on it
        return []


def _refuse_format(name: str) -> None:
    suffix = Path(name.partition("@")[0]).suffix
    if suffix in _UNSUPPORTED:
        raise BadInputError(
            f"{name}: the {_UNSUPPORTED[suffix]} format ({suffix}) is unsupported; Assay reads safetensors and GGUF"
        )


def _refuse_other(out: Path, repository: str) -> None:
    if out.exists() and not out.is_dir():
        raise BadInputError(f"{out} is a file; -o takes a folder")
    if out.is_dir() and any(out.iterdir()):
        before = read_import(out)
        if before is None or before.repository != repository:
            what = "is not empty" if before is None else f"holds {before.repository}"
            raise BadInputError(f"{out} {what}; import into another folder")


def _unchanged(imported: Imported) -> bool:
    """Return whether the folder's files have the sizes and hashes that they were imported with."""
    paths = [(imported.folder / f.path, f) for f in imported.files]
    return all(p.is_file() and p.stat().st_size == f.size_bytes for p, f in paths) and all(
        hashes(p)[0] == f.sha256 for p, f in paths
    )


def _first(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def hashes(path: Path, root: Path | None = None) -> tuple[str, str]:
    """Return the sha256 of a file's content, and git's name for it as a blob; of a `path` below `root`, if given."""
    descriptor = open_file(path) if root is None else open_below(root, path)
    with os.fdopen(descriptor, "rb") as content:
        size = os.fstat(content.fileno()).st_size
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while chunk := content.read(_CHUNK_BYTES):
            sha256.update(chunk)
            git.update(chunk)
    return sha256.hexdigest(), git.hexdigest()
