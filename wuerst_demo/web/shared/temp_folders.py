"""Temporary folders of this process, and deletion of those that killed processes left.

All are inside one folder that only this user can read. A lock on a file in it, which ends with the process however that
ends, tells folders in use from those left behind.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

_PREFIX = "wuerst-run-"
_LOCK_NAME = "lock"
_MIN_AGE_S = 60.0
"""Age of a lock file from which on it can be expected to be locked by its process."""


def create_temp_folder(prefix: str) -> TemporaryDirectory[str]:
    """A temporary folder, deleted with the object, at the process's end, or at the next start. Raises OSError."""
    return TemporaryDirectory(prefix=prefix, dir=_process_folder()[0].name, ignore_cleanup_errors=True)


def delete_stale_folders(root: Path | None = None, now: float | None = None) -> None:
    """Delete the folders of ended processes in `root`, the system's temporary folder unless given.

    Folders of other users cannot be locked or deleted, and stay.
    """
    before = (time.time() if now is None else now) - _MIN_AGE_S
    for folder in Path(root or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock_file = folder / _LOCK_NAME
        try:
            if folder.is_symlink() or lock_file.is_symlink() or lock_file.lstat().st_mtime > before:
                continue
            with FileLock(lock_file, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):  # in use, another user's, or deleted meanwhile
            continue


def delete_own_folder() -> None:
    """Delete all temporary folders of this process, which is about to end."""
    if _process_folder.cache_info().currsize:
        _process_folder()[0].cleanup()


@cache
def _process_folder() -> tuple[TemporaryDirectory[str], Any]:
    folder = TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    lock = FileLock(Path(folder.name, _LOCK_NAME), timeout=0, thread_local=False)
    lock.acquire()
    return folder, lock
