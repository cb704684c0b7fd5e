"""The files of the host that a cell may read: the interpreter, its standard library, shared libraries, the packages
asked for."""

from __future__ import annotations

import glob
import importlib.util
import os
import sys
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.sandbox.cell.jail import CELL_FOLDER, PACKAGES
from assay.sandbox.errors import SandboxError

CELL_SOURCES = Path(__file__).parent.parent / "cell"
# Where the cell's code lies in the cell, and the first of it.
CELL_CODE = f"{CELL_FOLDER}/sandbox/cell"
BOOT = f"{CELL_CODE}/boot.py"
# The interpreter's prefix in the cell, in place of one that tells of a user or of an installation.
_PREFIX = "/python"
_COMMON_PREFIXES = ("/usr", "/usr/local")

# Imported once in each cell: what generated programs use most. Modules that map large libraries (hashlib,
# ssl, sqlite3) are left to the samples that want them.
PRELOAD = (
    "abc", "bisect", "collections", "copy", "dataclasses", "datetime", "enum", "fractions", "functools", "heapq",
    "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "typing",
)  # fmt: skip

_TIME_ZONES = "/usr/share/zoneinfo"


@dataclass(frozen=True, slots=True)
class Layout:
    """`binds` maps a path in the cell to the host's path, `links` a path to its target; `hidden` are covered, and
    `replaced` maps files to what they hold in the cell. `interpreter` is its path in the cell, `host_interpreter` the
    host's; `environment` is what it needs to find its library."""

    interpreter: str
    host_interpreter: str
    binds: dict[str, str]
    links: dict[str, str]
    hidden: tuple[str, ...]
    replaced: dict[str, bytes]
    environment: dict[str, str]

    def in_cell(self, path: str) -> str:
        """The place in the cell of a file of the interpreter's prefix."""
        return _in_cell(path, _prefix())


def interpreter() -> str:
    """The interpreter outside any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


# sysconfig fills its tables without a lock: a second thread would find them half full.
_sysconfig_lock = threading.Lock()


def host_layout(packages: Sequence[str]) -> Layout:
    with _sysconfig_lock:
        return _host_layout(packages)


def _host_layout(packages: Sequence[str]) -> Layout:
    executable, prefix = interpreter(), _prefix()
    folders = {
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib", vars={"platbase": sys.base_prefix}),
    }
    folders |= set(_library_folders())
    if os.path.isdir(_TIME_ZONES):
        folders.add(_TIME_ZONES)
    real = {os.path.realpath(folder) for folder in folders if os.path.isdir(folder)}
    sources = _outermost(real)
    binds = {_in_cell(folder, prefix): folder for folder in sources}
    environment = {}
    if not any(executable.startswith(folder + "/") for folder in sources):
        binds[_interpreter_in_cell(executable, prefix)] = executable
    library = _shared_interpreter()
    if library and not any(library.startswith(folder + "/") for folder in sources):
        place = _place_of_library(library, prefix, binds)
        binds[place] = os.path.realpath(library)
        if place.startswith(_PREFIX):
            environment["LD_LIBRARY_PATH"] = os.path.dirname(place)
    hidden = [
        f"{folder}/{name}"
        for folder in real
        for name in ("site-packages", "dist-packages")
        if os.path.isdir(f"{folder}/{name}")
    ]
    replaced = {}
    if prefix not in _COMMON_PREFIXES:
        library_folder = os.path.realpath(sysconfig.get_path("stdlib"))
        hidden += [path for path in glob.glob(f"{library_folder}/config-*") if os.path.isdir(path)]
        replaced = _with_neutral_prefix(library_folder, prefix)
    for package in packages:
        binds.update(_package_binds(package))
    links = {path: os.readlink(path) for path in ("/lib", "/lib64") if os.path.islink(path)}
    return Layout(
        _interpreter_in_cell(executable, prefix),
        executable,
        binds,
        links,
        tuple(_in_cell(path, prefix) for path in hidden),
        replaced,
        environment,
    )


def _prefix() -> str:
    return os.path.realpath(sys.base_prefix)


def _in_cell(path: str, prefix: str) -> str:
    """Paths below common prefixes stay what they are; others get one that says nothing."""
    if prefix in _COMMON_PREFIXES or not path.startswith(prefix + "/"):
        return path
    return _PREFIX + path[len(prefix) :]


def _interpreter_in_cell(executable: str, prefix: str) -> str:
    if prefix in _COMMON_PREFIXES:
        return executable
    # Wherever it lies on the host: from there the interpreter finds its standard library.
    return f"{_PREFIX}/bin/{os.path.basename(executable)}"


def _place_of_library(library: str, prefix: str, binds: Mapping[str, str]) -> str:
    """Where the loader looks for the interpreter's library without being told, if that can be had: in place of another
    of that name, or in a folder that is not bound."""
    name = os.path.basename(library)
    for target, source in binds.items():
        if target in _library_folders() and os.path.exists(f"{source}/{name}"):
            return target + os.path.realpath(f"{source}/{name}")[len(source) :]
    is_searched = sysconfig.get_config_var("MULTIARCH") and "/usr/lib" not in binds
    return f"/usr/lib/{name}" if is_searched else _in_cell(library, prefix)


def _with_neutral_prefix(library_folder: str, prefix: str) -> dict[str, bytes]:
    """The interpreter's record of how it was built, with the neutral prefix in place of the host's."""
    replaced = {}
    for path in glob.glob(f"{library_folder}/_sysconfigdata_*.py"):
        text = Path(path).read_bytes()
        replaced[_in_cell(path, prefix)] = text.replace(prefix.encode(), _PREFIX.encode())
    return replaced


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
