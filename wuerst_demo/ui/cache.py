"""The folder of the files that pages serve: of this process alone, and nothing stays in it for long.

Gradio can delete old files too (`delete_cache`), but only those that it remembers, and it forgets a component's files
once a handler has left that component as it was.

Does not know what the files are.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

log = logging.getLogger(__name__)

KEPT = 3600.0
"""Seconds that a file stays."""
EVERY = 600.0
"""Seconds between two looks for older ones."""


@contextmanager
def own_cache(kept: float = KEPT, every: float = EVERY) -> Iterator[Path]:
    """A folder for the files that pages show, of this process alone, closed to the machine's other users, gone at the
    end. Gradio's usual one is shared by all its programs on a machine, and everyone there may read it. `every` so many
    seconds, files go that are older than `kept`.

    Pages must be built inside: Gradio reads the folder's name as it makes components.
    """
    with TemporaryDirectory(prefix="wuerst-page-", ignore_cleanup_errors=True) as folder:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            with _swept(Path(folder), kept, every):
                yield Path(folder)
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


@contextmanager
def _swept(folder: Path, kept: float, every: float) -> Iterator[None]:
    over = Event()

    def look() -> None:
        while not over.wait(every):
            sweep(folder, time.time() - kept)

    looking = Thread(target=look, name="old files", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


def sweep(folder: Path, before: float) -> None:
    """Deletes the files in `folder` that came there before this time, and what has been empty since then. What cannot
    be deleted is logged and left."""
    for parent, names, files in os.walk(folder, topdown=False):
        for name in files:
            with _forgiving(Path(parent, name)) as path:
                if _came(path) < before:
                    path.unlink()
        for name in names:
            with _forgiving(Path(parent, name)) as path:
                if _came(path) < before:
                    with suppress(OSError):  # there is something in it
                        path.rmdir()


def _came(path: Path) -> float:
    """When a file was written here: copies keep their time of change, but not this one."""
    return path.lstat().st_ctime


@contextmanager
def _forgiving(path: Path) -> Iterator[Path]:
    try:
        yield path
    except FileNotFoundError:  # somebody else was quicker
        pass
    except OSError as error:
        log.warning("An old file could not be deleted: %s", error)
