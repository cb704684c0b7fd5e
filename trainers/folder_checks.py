"""Refuse a model folder that would run code, or lead elsewhere, when it is loaded. Torch is imported for neither.

A model folder is often somebody else's. Pickled weights, code of its own, and kernels of the hub run whatever their
author put into them; a link or a shard's path that leaves the folder puts other files into what is loaded, merged and
pushed. Every folder that `assay.trainers.artifact.identify` takes for a model passes here first.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.trainers.errors import ArtifactError, TrainersError
from assay.trainers.files import read_object

ADAPTER_CONFIG = "adapter_config.json"
INDEX = "model.safetensors.index.json"
TEMPLATES = "additional_chat_templates"  # the one folder that a tokenizer reads
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_IMPLEMENTATION = re.compile(
    r"(attn|attention|experts|mlp|kernel)\w*implementation|kernel_config|use_kernels"
)
_PLAIN = re.compile(r"[\w-]+", re.ASCII)
_MODEL_FILE = re.compile(r"[\w][\w.-]*", re.ASCII)


@contextmanager
def loading(folder: Path | str, what: str) -> Iterator[None]:
    """Raise ArtifactError for what a library raises on a folder's broken files, whatever it raises.

    What is no fault of the files passes: a missing package, and memory or a device that gives out.
    """
    try:
        yield
    except (TrainersError, ImportError, MemoryError, InterruptedError):
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and re.search("memory|CUDA|device", str(error)):
            raise
        lines = str(error).strip().splitlines() or [""]
        raise ArtifactError(
            f"{folder}: its {what} cannot be loaded ({type(error).__name__}: {lines[0][:200]!r}); the folder is "
            "damaged, or its architecture is unknown to the installed transformers"
        ) from error


def check_model_folder(folder: Path) -> None:
    """Raise ArtifactError where the folder needs code of its own, or leads out of itself."""
    check_entries(folder)
    config, tokenizer = (_settings(folder / name) for name in ("config.json", "tokenizer_config.json"))
    _refuse_code(folder, config, tokenizer)
    _refuse_kernels(folder, config)
    adapter = _settings(folder / ADAPTER_CONFIG)
    if adapter.get("megatron_config") or adapter.get("megatron_core", "megatron.core") not in (
        None,
        "megatron.core",
    ):
        raise ArtifactError(
            f"{folder / ADAPTER_CONFIG} names a module to import (megatron_core = {adapter.get('megatron_core')!r}); "
            "code that a model names is not run: use an adapter without it"
        )
    _check_shards(folder)


def check_entries(folder: Path) -> None:
    """Raise ArtifactError for what a model folder holds that is neither its own file nor a folder.

    A link may lead within the folder, and from a snapshot of the hub's cache to the blobs beside it.
    """
    for path in _entries(folder):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = Path(os.path.realpath(path))  # pathlib's own raises on a loop
            if not any(target.is_relative_to(home) for home in _homes(folder)):
                raise ArtifactError(
                    f"{path} is a link that leads out of the folder: a model is read from its own files alone; put the "
                    "file itself there"
                )
            try:
                mode = path.stat().st_mode
            except OSError:
                raise ArtifactError(
                    f"{path} is a link to nothing; remove it, or fetch the model again"
                ) from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ArtifactError(
                f"{path} is no file (a pipe, a socket or a device): a model folder holds none; remove it"
            )


def _entries(folder: Path) -> Iterator[Path]:
    for root in (folder, folder / TEMPLATES):
        if root.is_dir():
            yield from sorted(root.iterdir())


def _homes(folder: Path) -> tuple[Path, ...]:
    """Return the folders that a model folder's links may lead to: itself, and the blobs of the hub's cache."""
    real = folder.resolve()
    cached = (real.parent.parent / "blobs",) if real.parent.name == "snapshots" else ()
    return (real, *cached)


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return read_object(file)
    except ValueError as error:
        raise ArtifactError(str(error)) from None


def _refuse_code(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    model, words = config.get("auto_map"), tokenizer.get("auto_map")
    if model and not _is_known_model(config.get("model_type")):
        raise ArtifactError(_own_code(folder, "config.json", config.get("model_type"), model))
    if words and not _is_known_tokenizer(config.get("model_type"), tokenizer.get("tokenizer_class")):
        raise ArtifactError(
            _own_code(folder, "tokenizer_config.json", tokenizer.get("tokenizer_class"), words)
        )


def _own_code(folder: Path, name: str, kind: Any, named: Any) -> str:
    return (
        f"{folder} needs code of its own: {name} names {_short(named)} for {_short(kind)}, which transformers does not "
        "know; a model's own code runs when it is loaded and is refused: use a model of a known architecture"
    )


def _is_known_model(model_type: Any) -> bool:
    """Return whether transformers has its own code for a causal model of that type."""
    try:
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    except ImportError:
        return True  # what cannot be loaded runs nothing
    return isinstance(model_type, str) and model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def _is_known_tokenizer(model_type: Any, name: Any) -> bool:
    try:
        from transformers.models.auto.tokenization_auto import (
            TOKENIZER_MAPPING_NAMES,
            tokenizer_class_from_name,
        )
    except ImportError:
        return True
    if isinstance(model_type, str) and model_type in TOKENIZER_MAPPING_NAMES:
        return True
    return isinstance(name, str) and tokenizer_class_from_name(name) is not None


def _refuse_kernels(folder: Path, config: dict[str, Any]) -> None:
    """Refuse an implementation that is a repository of the hub, which transformers would fetch and run."""
    for key, value in _implementations(config):
        if not (value in (None, True, False) or (isinstance(value, str) and _PLAIN.fullmatch(value))):
            raise ArtifactError(
                f"{folder / 'config.json'}: {key} = {_short(value)} names code that would be fetched and run; remove "
                "it there, or use a model without it"
            )


def _implementations(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for inner in value:
            yield from _implementations(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not _IMPLEMENTATION.search(str(key)):
                yield from _implementations(inner)
            elif isinstance(inner, dict):
                yield from ((str(key), one) for one in inner.values())
            else:
                yield str(key), inner


def _check_shards(folder: Path) -> None:
    """Refuse shards that lie elsewhere, and weights that only a pickle holds beside a decoy."""
    shards = _settings(folder / INDEX).get("weight_map", {})
    names = (
        set(shards.values())
        if isinstance(shards, dict) and all(isinstance(v, str) for v in shards.values())
        else {""}
    )
    for name in sorted(names):
        if not _MODEL_FILE.fullmatch(name) or not name.endswith(".safetensors"):
            raise ArtifactError(
                f"{folder / INDEX} names the shard {_short(name)}, which is no file of this folder"
            )
    if (folder / "config.json").is_file() and not (folder / ADAPTER_CONFIG).is_file():
        weights = (folder / "model.safetensors").is_file() or (folder / INDEX).is_file()
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        if pickles and not weights:
            raise ArtifactError(
                f"{folder} has its weights in {pickles[0]}: pickled weights run code when loaded and are refused; "
                "convert them to model.safetensors first"
            )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
