"""The scratch folder between samples: as new, or the next one would read in it what the last one did.

Emptying it is not enough. Its file system counts up the numbers of its files, and the folder keeps the time of its last
change. So one that was touched is replaced by a new file system, which a process outside does (`outside.keep`): the
server has no right to mount. Where nobody can, the cell is to be replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

_NO_TIME = (0, 0)


class Scratch:
    """A scratch folder, by its path.

    The time of its last change is set to none before each sample and tells whether that one touched it: every file that
    is made or removed in it sets it, and a file without a name, which would not, cannot be made. Only its owner could
    set it back, and in a cell that root starts that is no sample. (Else the owner still leaves the time at which it
    did so, as finely as the kernel's file times are: since Linux 6.13 always.)
    """

    def __init__(
        self,
        path: str,
        replace: Callable[[], bool] | None = None,
        *,
        is_shared: bool = False,
        watched: Sequence[str] = (),
    ) -> None:
        """`replace` mounts a new one in its place and returns whether it could; with it goes the right to set times.
        `is_shared` is for a folder of the host's, without a file system of its own, where emptying it is all that can
        be done. `watched` are files elsewhere that a sample must not have changed either."""
        self._path = path
        self._replace = replace
        self._is_shared = is_shared
        self._watched = [path for path in watched if os.path.exists(path)]
        self._folder = self._open()
        self._is_owner = replace is None or os.fstat(self._folder).st_uid == os.geteuid()
        self._untouched = self._state()

    def begin(self) -> None:
        """Before a sample: have it see the same times whenever the folder was last replaced."""
        if self._replace is not None:
            os.utime(self._folder, _NO_TIME)
            if self._is_owner:
                self._untouched = self._state()

    def tidy(self) -> bool:
        """Make it as new; False when it is not."""
        try:
            if self._state() == self._untouched:
                return True
            if self._is_shared:
                os.fchmod(self._folder, self._untouched[0] & 0o7777)
                _empty(self._path)
                self._untouched = self._state()
                return not os.listdir(self._path)
            return self._replace is not None and self._leave_and_replace()
        except (OSError, RecursionError):
            return False

    def _leave_and_replace(self) -> bool:
        """Out of use, the old file system ends before the new one begins, which then has its device number."""
        assert self._replace is not None
        os.chdir("/")
        os.close(self._folder)
        is_new = self._replace()
        os.chdir(self._path)
        self._folder = self._open()
        return is_new

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _state(self) -> tuple[int, ...]:
        status = os.fstat(self._folder)
        if not self._is_owner:
            return status.st_mode, status.st_mtime_ns
        watched = (os.stat(path).st_ctime_ns for path in self._watched)
        return status.st_mode, status.st_mtime_ns, status.st_ctime_ns, *watched


def _empty(folder: str) -> None:
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                _empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
