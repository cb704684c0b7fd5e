"""The files of the host that a cell may read: the interpreter, its standard library, shared libraries, the packages
asked for."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.sandbox.cell.jail import PACKAGES
from assay.sandbox.errors import SandboxError

BOOT = Path(__file__).parent.parent / "cell" / "boot.py"

# Imported once in each cell: what generated programs use most. Modules that map large libraries (hashlib,
# ssl, sqlite3) are left to the samples that want them.
PRELOAD = (
    "abc", "bisect", "collections", "copy", "dataclasses", "datetime", "enum", "fractions", "functools", "heapq",
    "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "typing",
)  # fmt: skip

_TIME_ZONES = "/usr/share/zoneinfo"


@dataclass(frozen=True, slots=True)
class Layout:
    """`binds` maps a path in the cell to the host's path, `links` a path to its target; `hidden` are covered."""

    interpreter: str
    binds: dict[str, str]
    links: dict[str, str]
    hidden: tuple[str, ...]


def interpreter() -> str:
    """The interpreter outside any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


# sysconfig fills its tables without a lock: a second thread would find them half full.
_sysconfig_lock = threading.Lock()


def host_layout(packages: Sequence[str]) -> Layout:
    with _sysconfig_lock:
        return _host_layout(packages)


def _host_layout(packages: Sequence[str]) -> Layout:
    executable = interpreter()
    folders = {
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib", vars={"platbase": sys.base_prefix}),
    }
    folders |= set(_library_folders())
    if os.path.isdir(_TIME_ZONES):
        folders.add(_TIME_ZONES)
    real = {os.path.realpath(folder) for folder in folders if os.path.isdir(folder)}
    binds = {folder: folder for folder in _outermost(real)}
    for file in (executable, _shared_interpreter()):
        if file and not any(file.startswith(folder + "/") for folder in binds):
            binds[file] = os.path.realpath(file)
    hidden = tuple(
        f"{folder}/{name}"
        for folder in real
        for name in ("site-packages", "dist-packages")
        if os.path.isdir(f"{folder}/{name}")
    )
    for package in packages:
        binds.update(_package_binds(package))
    links = {path: os.readlink(path) for path in ("/lib", "/lib64") if os.path.islink(path)}
    return Layout(executable, binds, links, hidden)


def _outermost(folders: set[str]) -> list[str]:
    return sorted(f for f in folders if not any(f.startswith(other + "/") for other in folders))


def _library_folders() -> list[str]:
    """Return the folders in which the loader finds shared libraries: Debian's multiarch folders, else lib64, else
    lib."""
    multiarch = sysconfig.get_config_var("MULTIARCH")
    candidates = [f"{lib}/{multiarch}" for lib in ("/lib", "/usr/lib")] if multiarch else []
    candidates += ["/lib64", "/usr/lib64"]
    folders = [folder for folder in candidates if os.path.isdir(folder)]
    return folders or ["/lib", "/usr/lib"]


def _shared_interpreter() -> str | None:
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return None
    library = f"{sysconfig.get_config_var('LIBDIR')}/{sysconfig.get_config_var('INSTSONAME')}"
    return library if os.path.exists(library) else None


def _package_binds(package: str) -> dict[str, str]:
    """A package's folder or file, and the folder of shared libraries that its wheel may have beside it."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None or spec.origin in ("built-in", "frozen"):
        raise SandboxError(
            f"package {package!r} is asked for inside the sandbox but is not installed here as a package of its own; "
            f"install it in this environment (pip install {package}) or take it off the list"
        )
    origin = Path(spec.origin)
    source = origin.parent if spec.submodule_search_locations else origin
    libraries = source.parent / f"{package}.libs"
    return {f"{PACKAGES}/{path.name}": str(path.resolve()) for path in (source, libraries) if path.exists()}
