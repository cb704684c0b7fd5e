"""Artifact: a model on disk, with the record of how it was made. No torch: the command line identifies models at once.

The record lies beside the artifact: `artifact.json` inside a folder, `NAME.gguf.artifact.json` beside a file. A
folder without a record is a base model, or an adapter when it holds an adapter_config.json.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.trainers.errors import ArtifactError
from assay.trainers.files import open_file, read_bytes, read_object, write_text
from assay.trainers.folder_checks import ADAPTER_CONFIG, check_model_folder

RECORD = "artifact.json"
_GGUF_MAGIC = b"GGUF"
# Everything that changes what a model answers, and nothing else: logs and READMEs do not make another model.
_CONTENT = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    ADAPTER_CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "base_quantization.json",  # of an adapter: how its base was rounded while it was trained
)


class ArtifactKind(StrEnum):
    """The kinds of artifacts."""

    BASE = "base"
    ADAPTER = "adapter"
    TUNED = "tuned"  # every weight of the model was trained
    MERGED = "merged"
    GGUF = "gguf"
    ENDPOINT = "endpoint"  # a model behind a server: `path` is its address and not a file


MODEL_FOLDERS = (ArtifactKind.BASE, ArtifactKind.TUNED, ArtifactKind.MERGED)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model on disk.

    `path` is a Hugging Face folder (base, merged), a PEFT folder (adapter) or a `.gguf` file. `parent` is what
    it was made from: an adapter's base, a merge's (first) adapter, a GGUF's merged model; `others` are the further
    adapters of a merge of several, in their order. `sha256` covers weights, configuration and tokenizer; `recipe`
    describes how it was made, so that a person can repeat it.
    """

    kind: ArtifactKind
    path: Path
    sha256: str
    parent: Artifact | None = None
    recipe: str = ""
    others: tuple[Artifact, ...] = ()

    @property
    def parents(self) -> tuple[Artifact, ...]:
        """The artifacts that it was made from, in order."""
        return () if self.parent is None else (self.parent, *self.others)


class _Record(BaseModel):
    """`artifact.json`. `path` is absent for the artifact the record lies beside, and given for its parents."""

    model_config = ConfigDict(extra="forbid")

    kind: ArtifactKind
    sha256: str
    recipe: str = ""
    path: Path | None = None
    parent: _Record | None = None
    others: list[_Record] | None = None


def record_path(path: Path) -> Path:
    """Return where the record of the artifact at `path` lies."""
    return path / RECORD if path.is_dir() else path.with_name(f"{path.name}.{RECORD}")


def save_record(artifact: Artifact) -> None:
    """Write the artifact's record beside it, atomically. A folder that has one is complete: write it last."""
    record = _to_record(artifact, with_path=False)
    write_text(record_path(artifact.path), record.model_dump_json(indent=2, exclude_none=True) + "\n")


def describe(
    kind: ArtifactKind,
    path: Path,
    parent: Artifact | None,
    recipe: str,
    others: tuple[Artifact, ...] = (),
) -> Artifact:
    """Hash what lies at `path`, write its record beside it, and return it as an Artifact."""
    artifact = Artifact(kind, path, content_sha256(path, parent), parent, recipe, others)
    save_record(artifact)
    return artifact


def already_made(out: Path, parents: Sequence[Artifact], recipe: str) -> Artifact | None:
    """Return the artifact in `out` where it was made of `parents` by `recipe`; None where there is nothing yet.

    Raises ArtifactError where `out` holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if out.is_dir() and record_path(out).is_file():
        existing = identify(out)
        same = [a.sha256 for a in existing.parents] == [a.sha256 for a in parents]
        if same and existing.recipe == recipe:
            return existing
    raise ArtifactError(f"{out} exists already and holds something else; remove it or choose another folder")


def identify(path: Path, *, base: Artifact | None = None) -> Artifact:
    """Return the artifact at `path`, its content hashed and compared with its record.

    `base` is the model under an adapter, where the adapter's own configuration names one that is not a local
    folder. Raises ArtifactError: nothing there, unknown format, base not found, files changed since recorded.
    """
    path = Path(path)
    if not path.exists():
        raise ArtifactError(f"no model at {path}: no such file or folder")
    kind = _format_of(path)
    if path.is_dir():
        check_model_folder(path)
    record = _load_record(path)
    parent = None
    if record is not None:
        if kind is ArtifactKind.BASE and record.kind in MODEL_FOLDERS:
            kind = record.kind
        if record.kind is not kind:
            raise ArtifactError(
                f"{record_path(path)} calls {path} a {record.kind}, but its files are a {kind}"
            )
        parent = None if record.parent is None else _from_record(record.parent)
    if kind is ArtifactKind.ADAPTER:
        parent = base or _base_of(path, parent)
    sha256 = content_sha256(path, parent)
    if record is None:
        return Artifact(kind, path, sha256, parent)
    if record.sha256 != sha256:
        raise ArtifactError(
            f"{path} has changed since it was made: its files hash to {sha256[:12]}, {record_path(path).name} "
            f"says {record.sha256[:12]}; make it again, or delete that record to take the files as they are"
        )
    return Artifact(kind, path, sha256, parent, record.recipe, _others(record))


def content_sha256(path: Path, parent: Artifact | None = None) -> str:
    """Return the sha256 of a file, or over (name, sha256) of a model folder's content files, sorted by name.

    An adapter's hash takes in its base's: the same matrices on another base are another model. Where the base
    lies and the order in which PEFT wrote its sets are left out.
    """
    if path.is_file():
        return _file_sha256(path)
    digest = hashlib.sha256()
    names = {f.name for pattern in _CONTENT for f in path.glob(pattern)}
    for name in sorted(names):
        one = _adapter_config_sha256(path / name) if name == ADAPTER_CONFIG else _file_sha256(path / name)
        digest.update(f"{name}\0{one}\n".encode())
    if ADAPTER_CONFIG in names and parent is not None:
        digest.update(f"base\0{parent.sha256}\n".encode())
    return digest.hexdigest()


def model_folder(artifact: Artifact) -> Path:
    """Return the folder with an artifact's configuration and tokenizer: an adapter's is its base's."""
    if artifact.kind is ArtifactKind.GGUF:
        raise ArtifactError(f"{artifact.path} is a GGUF file; a Hugging Face folder is needed here")
    if artifact.kind is not ArtifactKind.ADAPTER:
        return artifact.path
    if artifact.parent is None:
        raise ArtifactError(f"adapter {artifact.path} has no base model recorded")
    return artifact.parent.path


def is_reward_model(artifact: Artifact) -> bool:
    """Return whether it is an adapter with a score head (`method = "reward"`), which cannot generate."""
    adapter = artifact.kind is ArtifactKind.ADAPTER
    return adapter and _read_json(artifact.path / ADAPTER_CONFIG).get("task_type") == "SEQ_CLS"


def stored_tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield (name, the safetensors file that has it, open as long as it is held) of every tensor in a model folder."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        opened: Any = safe_open(str(file), "pt")
        yield from ((name, opened) for name in opened.keys())  # noqa: SIM118  # not a dict


def _format_of(path: Path) -> ArtifactKind:
    if path.is_file():
        if path.suffix == ".gguf":
            with path.open("rb") as f:
                if f.read(4) != _GGUF_MAGIC:
                    raise ArtifactError(
                        f"{path} does not begin with the GGUF magic; it is damaged or not GGUF"
                    )
            return ArtifactKind.GGUF
        if path.suffix == ".apr":
            raise ArtifactError(
                f"{path}: the APR format (.apr) is unsupported; export the model to safetensors or GGUF and use that"
            )
        raise ArtifactError(
            f"{path}: unknown model format {path.suffix or '(no suffix)'!r}; "
            "known are a Hugging Face folder, a PEFT adapter folder and a .gguf file"
        )
    if (path / ADAPTER_CONFIG).is_file():
        if not (path / "adapter_model.safetensors").is_file():
            raise ArtifactError(f"{path} holds {ADAPTER_CONFIG} but no adapter_model.safetensors")
        return ArtifactKind.ADAPTER
    if not (path / "config.json").is_file():
        raise ArtifactError(f"{path} holds neither config.json nor {ADAPTER_CONFIG}: not a model folder")
    if not any(path.glob("*.safetensors")):
        raise ArtifactError(
            f"{path} holds no *.safetensors weights; pickled weights (*.bin) run code when loaded and are refused: "
            "convert them to safetensors first"
        )
    return ArtifactKind.BASE


def _base_of(path: Path, recorded: Artifact | None) -> Artifact:
    if recorded is not None and recorded.path.exists():
        return _model_under(path, recorded.path)
    named = str(_read_json(path / ADAPTER_CONFIG).get("base_model_name_or_path") or "")
    for candidate in (Path(named), path / named) if named else ():
        if candidate.is_dir() and candidate != path:
            return _model_under(path, candidate)
    raise ArtifactError(
        f"adapter {path} names base model {named!r}, which is not a folder here; give the base's path"
    )


def _model_under(adapter: Path, base: Path) -> Artifact:
    """Return the model that an adapter's own files name. Raises ArtifactError for another adapter: two may name each
    other, and no weights lie under either."""
    if (base / ADAPTER_CONFIG).exists():
        raise ArtifactError(
            f"adapter {adapter} names {base} as its base, which is an adapter too: merge that one first"
        )
    return identify(base)


def _load_record(path: Path) -> _Record | None:
    target = record_path(path)
    if not target.is_file():
        return None
    try:
        return _Record.model_validate_json(read_bytes(target))
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "the file"
        raise ArtifactError(f"{target}: {where}: {first['msg']}") from e


def _to_record(artifact: Artifact, *, with_path: bool) -> _Record:
    return _Record(
        kind=artifact.kind,
        sha256=artifact.sha256,
        recipe=artifact.recipe,
        path=artifact.path.absolute() if with_path else None,
        parent=None if artifact.parent is None else _to_record(artifact.parent, with_path=True),
        others=[_to_record(other, with_path=True) for other in artifact.others] or None,
    )


def _from_record(record: _Record) -> Artifact:
    if record.path is None:
        raise ArtifactError(f"the record of a {record.kind} parent (sha256 {record.sha256[:12]}) has no path")
    parent = None if record.parent is None else _from_record(record.parent)
    return Artifact(record.kind, record.path, record.sha256, parent, record.recipe, _others(record))


def _others(record: _Record) -> tuple[Artifact, ...]:
    return tuple(_from_record(other) for other in record.others or ())


def _file_sha256(path: Path) -> str:
    with os.fdopen(open_file(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _adapter_config_sha256(path: Path) -> str:
    config = _read_json(path)
    config.pop("base_model_name_or_path", None)
    config = {k: sorted(v) if k.endswith("modules") and isinstance(v, list) else v for k, v in config.items()}
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(str(error)) from error
