"""Temporary folder of the files that pages serve, private to this process, with old files deleted.

Gradio's own `delete_cache` deletes only files it remembers, and forgets those of a component that a handler did not
update.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from wuerst_demo.web.middleware.uploads import UPLOAD_TTL_S, UPLOADS
from wuerst_demo.web.shared.temp_folders import create_temp_folder, delete_stale_folders

log = logging.getLogger(__name__)

TEMP_FILE_TTL_S = 3600.0
"""How long a file is served."""
SWEEP_INTERVAL_S = 60.0
"""Time between two deletions of old files."""


@contextmanager
def private_temp_folder(ttl_s: float = TEMP_FILE_TTL_S, interval_s: float = SWEEP_INTERVAL_S) -> Iterator[Path]:
    """A folder for Gradio's files that other users of the machine cannot read, deleted at the end.

    Gradio's default folder is shared by all its programs on a machine. Pages must be built inside this context: Gradio
    reads the folder's name as it creates components. Every `interval_s`, files older than
    `ttl_s` are deleted; what killed processes left, at the start.
    """
    delete_stale_folders()
    with create_temp_folder("page-") as folder:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            with _periodic_sweep(Path(folder), ttl_s, interval_s):
                yield Path(folder)
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def _periodic_sweep(folder: Path, ttl_s: float, interval_s: float) -> Iterator[None]:
    stopped = Event()

    def run() -> None:
        while not stopped.wait(interval_s):
            delete_old_files(folder, time.time() - ttl_s)
            delete_old_files(folder / UPLOADS, time.time() - UPLOAD_TTL_S)

    thread = Thread(target=run, name="temp file sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def delete_old_files(folder: Path, before: float) -> None:
    """Delete files that were written to `folder` before this time, and folders that have been empty since then.

    Files that cannot be deleted are logged and left.
    """
    for parent, names, files in os.walk(folder, topdown=False):
        for name in files:
            with _log_errors(Path(parent, name)) as path:
                if _written_at(path) < before:
                    path.unlink()
        for name in names:
            with _log_errors(Path(parent, name)) as path:
                if _written_at(path) < before:
                    with suppress(OSError):  # not empty
                        path.rmdir()


def _written_at(path: Path) -> float:
    """When a file was written here; unlike st_mtime, a copy does not inherit st_ctime."""
    return path.lstat().st_ctime


@contextmanager
def _log_errors(path: Path) -> Iterator[Path]:
    try:
        yield path
    except FileNotFoundError:  # deleted meanwhile
        pass
    except OSError as error:
        log.warning("An old file could not be deleted: %s", error)
