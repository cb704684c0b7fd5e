"""Check what a hub answers before the hub's client uses it: commits, hashes and names become paths of its cache.

A hub is whatever HF_ENDPOINT names, or whoever answers in its place. An ETag or a commit with `../` in it would be
written to any folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from assay.suites.model import SuiteError

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)
_HASH = re.compile(r"[A-Za-z0-9_+=-][A-Za-z0-9._+=-]{0,199}", re.ASCII)
_HASHES = ("etag", "x-linked-etag", "x-xet-hash")
_REPO_COMMIT = "x-repo-commit"


@cache
def guard_hub() -> None:
    """Have every answer of a hub checked, for the rest of this process. Raises ImportError without the hub's client."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def make() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = hooks | {"response": [*hooks.get("response", ()), check_answer]}
        return client

    set_client_factory(make)


def check_answer(response: Any) -> None:
    """Raise SuiteError where an answer names a commit, a hash or a file that could not be one."""
    headers, url = response.headers, response.request.url
    if (commit := headers.get(_REPO_COMMIT)) is not None:
        _check(COMMIT.fullmatch(commit), url, "the commit", commit)
    if commit is not None or response.request.method == "HEAD":
        for name in _HASHES:
            value = headers.get(name)
            if value is not None:
                _check(_HASH.fullmatch(value.lstrip("W/").strip('"')), url, f"the hash ({name})", value)
    if "/api/" in url.path and "json" in headers.get("content-type", ""):
        response.read()
        try:
            content = json.loads(response.content)
        except (ValueError, RecursionError):
            return  # the client says so
        for kind, value in _names(content):
            pattern_holds = COMMIT.fullmatch(value) if kind == "the commit" else _is_path(value)
            _check(pattern_holds, url, kind, value)


def _names(content: Any) -> Iterator[tuple[str, str]]:
    """Yield (what it is, the text) of everything in an answer's body that may become a path."""
    if isinstance(content, list):
        for entry in content:
            if isinstance(entry, dict):
                yield from _of_file(entry)
    elif isinstance(content, dict):
        if isinstance(content.get("sha"), str):
            yield "the commit", content["sha"]
        for sibling in content.get("siblings") or ():
            if isinstance(sibling, dict):
                yield from _of_file(sibling)


def _of_file(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    lfs = entry.get("lfs")
    for source, keys in (
        (entry, ("path", "rfilename", "oid", "blobId", "xetHash")),
        (lfs, ("oid", "sha256")),
    ):
        if not isinstance(source, dict):
            continue
        for key in keys:
            if isinstance(source.get(key), str):
                yield ("the file" if key in ("path", "rfilename") else "the hash"), source[key]


def _is_path(name: str) -> bool:
    """Return whether a name stays below the folder that it is put into."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and all(part not in ("", ".", "..") for part in parts)


def _check(holds: Any, url: Any, kind: str, value: str) -> None:
    if not holds:
        raise SuiteError(
            f"the hub at {url.host} names {kind} {value!r:.200}, which is none: nothing is written for it"
        )
