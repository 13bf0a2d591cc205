"""Image history: add, page through, search, mark as favourite, delete.

Several programs may use one folder at the same time. Each call opens the index anew, so a deleted or replaced index
does no harm; where the folder cannot hold an index, one in memory is used instead.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from wuerst_demo.errors import InvalidRequest, StorageError
from wuerst_demo.history import folder
from wuerst_demo.history.index import MAX_CREATED_US, MAX_ID, HistoryIndex, IndexEntry, OutdatedSchema
from wuerst_demo.images.files import PARTIAL_FILE_TTL_S, copy_image, delete_partial_files
from wuerst_demo.messages import message

log = logging.getLogger(__name__)
T = TypeVar("T")

PAGE_SIZE = 24
MAX_SEARCH_CHARS = 200
LOCK_TIMEOUT_S = 10.0
"""How long to wait while another program writes to the index."""
IMAGE_GONE_MESSAGE = "That picture is no longer in the folder; the others are shown as they are now."
READ_ONLY_NOTICE = (
    "The folder {folder} is full or cannot be written to: its pictures are shown, new ones may not be kept."
)
_CORRUPT_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_LOCKED_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@dataclass(frozen=True)
class HistoryImage:
    """An image of the history."""

    id: int
    """Grows with the time of creation."""
    path: Path
    favourite: bool


@dataclass(frozen=True)
class HistoryPage:
    """Some images, newest first."""

    images: tuple[HistoryImage, ...]
    older: int | None
    """`before` of the next page, None on the last one."""


@dataclass(frozen=True)
class HistorySummary:
    """Number of files in the folder."""

    image_count: int
    other_count: int
    """PNG files of other programs, which are left alone."""
    notice: str = ""
    """A warning for the user, or ""."""


class HistoryStore:
    """The images in one folder, which need not exist yet. Thread-safe."""

    def __init__(self, root: Path, connect: Callable[[str], sqlite3.Connection] | None = None) -> None:
        self.root = root.absolute()
        self._connect = connect or _connect
        self._lock = threading.Lock()
        self._memory: sqlite3.Connection | None = None
        """The index used where the folder cannot hold one."""

    def add(self, image: Path, now: datetime | None = None) -> Path:
        """Copy an image file, byte for byte, into the folder of the day. Returns the path of the copy.

        Raises StorageError, and then leaves nothing behind.
        """
        return copy_image(image, self.root / f"{now or datetime.now():%Y-%m-%d}")

    def delete_partial_files(self) -> None:
        """Delete what killed processes left half written. Raises StorageError if the folder cannot be listed."""
        for name in folder.list_folders(self.root):
            delete_partial_files(self.root / name, time.time() - PARTIAL_FILE_TTL_S)

    def refresh(self) -> HistorySummary:
        """Update the index from the folder: only folders that changed are listed, and only new files read.

        Raises StorageError.
        """
        with self._lock:
            memory, self._memory = self._memory, None  # the folder may be writable again
            try:
                counts = self._using(self._refresh)
            finally:
                if memory is not None and self._memory is not memory:
                    memory.close()
            in_memory = self._memory is not None
        return HistorySummary(*counts, message(READ_ONLY_NOTICE, folder=self.root) if in_memory else "")

    def page(
        self, search: str = "", favourites: bool = False, before: int = MAX_ID, count: int = PAGE_SIZE
    ) -> HistoryPage:
        """The newest `count` images with ids below `before`; with `search`, those whose prompts contain its words.

        Files deleted or changed since they were indexed are left out. Raises InvalidRequest, StorageError.
        """
        if len(search) > MAX_SEARCH_CHARS:
            raise InvalidRequest(
                "The search is {count:,} characters long; shorten it to at most {most}.",
                "search",
                count=len(search),
                most=MAX_SEARCH_CHARS,
            )
        with self._lock:
            return self._using(lambda index: self._page(index, search, favourites, before, count))

    def image(self, id: int) -> HistoryImage:
        """The image with this id. Raises StorageError if it is gone."""
        with self._lock:
            return self._existing(self._using(lambda index: index.image(id)))

    def set_favourite(self, id: int, favourite: bool) -> HistoryImage:
        """Mark an image as a favourite, or unmark it. Raises StorageError."""
        with self._lock:
            image = self._existing(self._using(lambda index: index.image(id)))
            folder.set_favourite(image.path, favourite)
            self._using(lambda index: index.set_favourite(id, favourite))
        return HistoryImage(id, image.path, favourite)

    def delete(self, id: int) -> None:
        """Delete an image file. Raises StorageError if that fails."""
        with self._lock:
            entry = self._using(lambda index: index.image(id))
            if entry is not None:
                folder.delete_image(self._path(entry))
                self._using(lambda index: index.remove(entry))

    # The lock is held in all methods below.

    def _refresh(self, index: HistoryIndex) -> tuple[int, int]:
        present, indexed = folder.list_folders(self.root), index.folders()
        for name in indexed.keys() - present.keys():
            index.remove_folder(name)
        for name, modified_ns in present.items():
            if modified_ns == 0 or indexed.get(name) != modified_ns:
                self._refresh_folder(index, name, modified_ns)
        return index.counts()

    def _refresh_folder(self, index: HistoryIndex, name: str, modified_ns: int) -> None:
        images, others = index.files(name)
        present = {file.name: file for file in folder.list_files(self.root, name)}
        changed = [
            file
            for file in present.values()
            if others.get(file.name) != file.state
            and (file.name not in images or images[file.name].state != file.state)
        ]
        records = [(file, folder.read_record(self.root / name / file.name)) for file in changed]
        index.update(
            name,
            modified_ns,
            removed=(images.keys() | others.keys()) - present.keys(),
            images=[(file, record) for file, record in records if record is not None],
            others=[file for file, record in records if record is None],
        )
        for entry in images.values():
            if entry.name in present and present[entry.name].favourite != entry.favourite:
                index.set_favourite(entry.id, present[entry.name].favourite)

    def _page(self, index: HistoryIndex, search: str, favourites: bool, before: int, count: int) -> HistoryPage:
        shown: list[HistoryImage] = []
        while True:
            entries = index.page(search, favourites, before, count + 1)
            for entry in entries:
                path = self._unchanged_path(entry)
                if path is None:  # the next refresh indexes a replacement
                    index.remove(entry)
                elif len(shown) == count:
                    return HistoryPage(tuple(shown), shown[-1].id)
                else:
                    shown.append(HistoryImage(entry.id, path, entry.favourite))
            if len(entries) <= count:
                return HistoryPage(tuple(shown), None)
            before = entries[-1].id

    def _unchanged_path(self, entry: IndexEntry) -> Path | None:
        """Path of an indexed image. None if its file is gone, or, which is logged, replaced or not what was indexed."""
        named = f"{entry.folder}/{entry.name}"[:200]
        try:
            path = self._path(entry)
            if folder.file_state(path.lstat()) == entry.state:
                return path
            log.warning("A picture is not as it was indexed in the history, and is read again: %r", named)
        except StorageError:
            log.warning("Skipping an entry of the history's index: %r", named)
        except OSError:  # deleted by another program
            return None
        return None

    def _existing(self, entry: IndexEntry | None) -> HistoryImage:
        """The image of an entry. Raises StorageError if there is no such file."""
        if entry is None or not self._path(entry).is_file() or self._path(entry).is_symlink():
            raise StorageError(IMAGE_GONE_MESSAGE)
        return HistoryImage(entry.id, self._path(entry), entry.favourite)

    def _path(self, entry: IndexEntry) -> Path:
        """Path of an image. The index is untrusted, and folders may be replaced by links.

        Raises StorageError for a foreign entry, for a name or a link that leads out of the folder, and for a time
        beyond all calendars.
        """
        if entry.foreign:
            raise StorageError(IMAGE_GONE_MESSAGE)
        for part in (entry.folder, entry.name):
            if part == ".." or "\0" in part or Path(part).name != part:
                raise StorageError(IMAGE_GONE_MESSAGE)
        if (entry.folder and (self.root / entry.folder).is_symlink()) or abs(entry.id) > MAX_CREATED_US:
            raise StorageError(IMAGE_GONE_MESSAGE)
        return self.root / entry.folder / entry.name

    def _using(self, work: Callable[[HistoryIndex], T]) -> T:
        """Result of `work` on the index in the folder, rebuilt if it is damaged, else on one in memory."""
        if self._memory is not None:
            return work(HistoryIndex(self._memory))
        if not self.root.is_dir():
            with closing(self._connect(":memory:")) as connection:
                return work(HistoryIndex(connection))
        try:
            try:
                with self._opened() as index:
                    return work(index)
            except (OutdatedSchema, sqlite3.DatabaseError) as error:
                if not isinstance(error, OutdatedSchema) and _primary_code(error) not in _CORRUPT_CODES:
                    raise
                log.warning("Rebuilding the index of the history: %s", error or "it has another schema version")
                for file in (self.root / folder.INDEX_FOLDER).glob("index.sqlite*"):
                    file.unlink(missing_ok=True)
                with self._opened() as index:
                    return self._refresh_and(index, work)
        except sqlite3.DatabaseError as error:
            if _primary_code(error) in _LOCKED_CODES:
                raise StorageError("Another program is busy with this history; try again in a moment.") from error
            if _primary_code(error) in _CORRUPT_CODES:
                raise
            log.warning("Keeping the index of the history in memory: %s", error)
        except OSError as error:
            log.warning("Keeping the index of the history in memory: %s", error)
        self._memory = self._connect(":memory:")
        return self._refresh_and(HistoryIndex(self._memory), work)

    def _refresh_and(self, index: HistoryIndex, work: Callable[[HistoryIndex], T]) -> T:
        self._refresh(index)
        return work(index)

    @contextmanager
    def _opened(self) -> Iterator[HistoryIndex]:
        path = self.root / folder.INDEX_FOLDER
        path.mkdir(exist_ok=True)
        with closing(self._connect(str(path / "index.sqlite"))) as connection:
            yield HistoryIndex(connection)


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _primary_code(error: sqlite3.DatabaseError) -> int:
    """Primary result code of SQLite, without the extended bits."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_INTERNAL) & 0xFF
