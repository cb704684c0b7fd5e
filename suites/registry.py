"""One registry mechanism for every extension point: a decorator for our own, entry points for others'.

A plugin package declares, for example::

    [project.entry-points."assay.suites"]
    mysuite = "mypackage.suite:load"

and `assay eval --suite mysuite` finds it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownNameError(LookupError):
    """A name that nothing is registered under; the message lists what is known."""


class Registry(Generic[T]):
    """Names to factories of one kind.

    `builtin` maps a name to the module that registers it, so that a module with heavy imports is loaded only
    when its name is asked for.
    """

    def __init__(self, kind: str, group: str, builtin: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin or {})
        self._found: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers its target under `name`; a second one of that name is a ValueError."""

        def add(target: T) -> T:
            if name in self._found and self._found[name] is not target:
                raise ValueError(
                    f"{self.kind} {name!r} is registered twice: {self._found[name]!r} and {target!r}"
                )
            self._found[name] = target
            return target

        return add

    def names(self) -> list[str]:
        plugins = {e.name for e in entry_points(group=self.group)}
        return sorted(set(self._builtin) | set(self._found) | plugins)

    def get(self, name: str) -> T:
        """The target registered under `name`; UnknownNameError names what is known and the nearest."""
        if name not in self._found and name in self._builtin:
            import_module(self._builtin[name])
        if name not in self._found:
            for entry in entry_points(group=self.group, name=name):
                self._found[name] = entry.load()
        if name not in self._found:
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownNameError(f"unknown {self.kind} {name!r}{hint} Known: {', '.join(self.names())}")
        return self._found[name]
