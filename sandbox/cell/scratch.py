"""The scratch folder between samples: as new, or the next one would read in it what the last one did.

Emptying it is not enough. Its file system counts up the numbers of its files, and the folder keeps the time of its last
change. So one that was touched is replaced by a new file system, which a process outside does (`outside.keep`): the
server has no right to mount. Where nobody can, the cell is to be replaced.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_CLOCK_REALTIME_COARSE = 5  # of which the kernel's file times are
_TICK_S = 0.0005


class Scratch:
    """A scratch folder, by its path. Its last change is what tells that a sample touched it: every file that is made or
    removed in it changes the folder's time, and a file without a name, which would not, cannot be made."""

    def __init__(
        self, path: str, replace: Callable[[], bool] | None = None, *, is_shared: bool = False
    ) -> None:
        """`replace` mounts a new one in its place and returns whether it could. `is_shared` is for a folder of the
        host's, without a file system of its own, where emptying it is all that can be done."""
        self.path = path
        self._replace = replace
        self._is_shared = is_shared
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._untouched = self._state()

    def tidy(self) -> bool:
        """Make it as new; False when it is not."""
        try:
            if self._state() == self._untouched:
                return True
            if self._is_shared:
                os.fchmod(self._folder, self._untouched[0] & 0o7777)
                _empty(self.path)
                self._untouched = self._state()
                return not os.listdir(self.path)
            return self._replace is not None and self._replace() and self._enter_new()
        except (OSError, RecursionError):
            return False

    def _enter_new(self) -> bool:
        os.chdir(self.path)
        new = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.dup2(new, self._folder, inheritable=False)
        os.close(new)
        self._untouched = self._state()
        if os.fstat(self._folder).st_uid == os.geteuid():
            # Its owner can set the time of the last change to files back, but not that of its own last change, unless
            # both fall into one tick of the kernel's clock.
            while time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) <= self._untouched[2]:
                time.sleep(_TICK_S)
        return True

    def _state(self) -> tuple[int, int, int]:
        status = os.fstat(self._folder)
        return status.st_mode, status.st_mtime_ns, status.st_ctime_ns


def _empty(folder: str) -> None:
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                _empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
