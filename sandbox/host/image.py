"""The container image of the cell: made of this machine's own interpreter, so it needs no registry and no network.

It holds what the embedded cell would see (standard library, shared libraries, packages asked for) and the cell's
own sources, so both backends run the same interpreter and give the same verdicts. `images/Dockerfile` makes an
equivalent one where a registry can be had.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import py_compile
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from assay.sandbox.errors import SandboxError
from assay.sandbox.host.layout import CELL_CODE, CELL_SOURCES, Layout

REPOSITORY = "assay-cell"

_LEFT_OUT = frozenset(("test", "tests", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter"))
_PACKAGE_FOLDERS = frozenset(("site-packages", "dist-packages"))
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/:/none\nnobody:x:65534:65534::/:/none\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
_LIBRARY = re.compile(r"(/\S+) \(0x")


def tag_of(layout: Layout, packages: dict[str, str]) -> str:
    """Names what is in the image: interpreter, cell sources, packages and their places."""
    digest = hashlib.sha256()
    for part in (sys.version, layout.interpreter, sorted(layout.binds.items()), sorted(packages.items())):
        digest.update(repr(part).encode())
    for path in (Path(__file__), *sorted(CELL_SOURCES.glob("*.py"))):
        digest.update(path.name.encode() + path.read_bytes())
    return f"{sys.version_info[0]}.{sys.version_info[1]}-{digest.hexdigest()[:16]}"


def build(layout: Layout) -> bytes:
    """The image's file system as a tar archive (50 to 100 MB, in memory)."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        names: set[str] = set()
        for folder in ("tmp", "proc", "dev", "sys", "etc", "peer"):
            _add_folder(tar, names, folder, 0o1777 if folder == "tmp" else 0o755)
        for name, text in _ACCOUNTS.items():
            _add_bytes(tar, name, text.encode())
        copied = {target: source for target, source in layout.binds.items() if not _is_library_folder(target)}
        libraries: set[str] = set()
        for target, source in copied.items():
            _add_folder(tar, names, os.path.dirname(target).lstrip("/"))
            tar.add(source, target.lstrip("/"), filter=partial(_public, layout.replaced))
            libraries |= _needed_libraries(source)
        for target, content in layout.replaced.items():
            _add_bytes(tar, target.lstrip("/"), content)
        for library in sorted(libraries):
            if not _is_within(library, [*copied, *copied.values()]):
                target = layout.in_cell(library)
                _add_folder(tar, names, os.path.dirname(target).lstrip("/"))
                tar.add(os.path.realpath(library), target.lstrip("/"), filter=partial(_public, {}))
        _add_folder(tar, names, f"{CELL_CODE}/__pycache__".lstrip("/"))
        for path in sorted(CELL_SOURCES.glob("*.py")):
            _add_source(tar, path)
    return archive.getvalue()


def _is_library_folder(target: str) -> bool:
    """System library folders are not copied whole; what is needed of them is found with ldd."""
    return (
        os.path.isdir(target) and re.fullmatch(r"(/usr)?/lib(64)?(/[^/]*-linux-[^/]*)?", target) is not None
    )


def _is_within(path: str, places: list[str]) -> bool:
    real = os.path.normpath(path)
    return any(real == place or real.startswith(place + "/") for place in places)


def _public(replaced: Mapping[str, bytes], entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = os.path.basename(entry.name)
    if (
        f"/{entry.name}" in replaced
        or name in _LEFT_OUT | _PACKAGE_FOLDERS
        or name.startswith("config-")
        or name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc"))
    ):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o444 | (0o111 if entry.isdir() or entry.mode & 0o100 else 0)
    return entry


def _add_folder(tar: tarfile.TarFile, names: set[str], name: str, mode: int = 0o755) -> None:
    for parent in [*reversed(Path(name).parents), Path(name)]:
        path = str(parent)
        if path not in (".", *names):
            names.add(path)
            entry = tarfile.TarInfo(path)
            entry.type = tarfile.DIRTYPE
            entry.mode = mode if path == name else 0o755
            tar.addfile(entry)


def _add_source(tar: tarfile.TarFile, path: Path) -> None:
    """A module of the cell's, compiled: what a cell has to compile leaves its memory scattered, and forks dear."""
    name = f"{CELL_CODE}/{path.name}".lstrip("/")
    _add_bytes(tar, name, path.read_bytes())
    with tempfile.NamedTemporaryFile(suffix=".pyc") as compiled:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(path), compiled.name, f"/{name}", doraise=True, invalidation_mode=mode)
        _add_bytes(tar, importlib.util.cache_from_source(name), Path(compiled.name).read_bytes())


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(data))


def _needed_libraries(source: str) -> set[str]:
    binaries = [path for path in _files(source) if ".so" in os.path.basename(path) or path == source]
    binaries = [path for path in binaries if _is_elf(path)]
    if not binaries:
        return set()
    try:
        result = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SandboxError(
            "ldd is needed to make the container image of this interpreter; install libc-bin"
        ) from error
    return set(_LIBRARY.findall(result.stdout))


def _files(source: str) -> Iterator[str]:
    if os.path.isfile(source):
        yield source
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name not in _LEFT_OUT | _PACKAGE_FOLDERS]
        yield from (os.path.join(folder, name) for name in names)


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
