"""What a page does with a history: keep a picture, turn its pages, search, mark and delete.

Any number of programs may use one folder at the same time. Each call opens the index anew, so nothing hangs on one
that was deleted or replaced in between; where the folder takes no index, one in memory stands in for it.

Does not know Gradio or who looks.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from wuerst_demo import pictures
from wuerst_demo.errors import InvalidRequest, StorageError
from wuerst_demo.history import folder
from wuerst_demo.history.index import LAST, Index, Outdated, Row

log = logging.getLogger(__name__)
T = TypeVar("T")

PAGE = 24
LONGEST_SEARCH = 200
BUSY = 10.0
"""Seconds to wait while another program writes to the index."""
GONE = "That picture is no longer in the folder; the others are shown as they are now."
NO_INDEX = "The folder {} is full or cannot be written to: its pictures are shown, new ones may not be kept."
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@dataclass(frozen=True)
class Kept:
    """A picture of the history. `id` orders pictures by time, the newest has the greatest."""

    id: int
    path: Path
    favourite: bool


@dataclass(frozen=True)
class Page:
    """Some pictures, newest first. `older` is where the next page begins, None where there is none."""

    pictures: tuple[Kept, ...]
    older: int | None


@dataclass(frozen=True)
class Held:
    """What the folder holds: how many pictures of this program, and how many other PNG files, which are left alone.
    `notice` is a sentence where something is not as it should be, else empty."""

    pictures: int
    others: int
    notice: str = ""


class History:
    """The pictures in one folder, which need not be there yet. Safe to be used by several threads at once."""

    def __init__(self, root: Path, connect: Callable[[str], sqlite3.Connection] | None = None) -> None:
        self.root = root.absolute()
        self._connect = connect or _connect
        self._lock = threading.Lock()
        self._memory: sqlite3.Connection | None = None
        """The index that stands in where the folder takes none."""

    def keep(self, picture: Path, now: datetime | None = None) -> Path:
        """Copy a finished picture's file into the folder of the day, byte for byte, and say where it is.

        Raises StorageError, and then leaves nothing behind.
        """
        return pictures.copy(picture, self.root / f"{now or datetime.now():%Y-%m-%d}")

    def look(self) -> Held:
        """Bring the index to what the folder holds now. Reads only folders that changed, and in them only new files.

        Raises StorageError.
        """
        with self._lock:
            memory, self._memory = self._memory, None  # what was wrong with the folder may have been mended
            try:
                held = self._using(self._look)
            finally:
                if memory is not None and self._memory is not memory:
                    memory.close()
            stands_in = self._memory is not None
        notice = NO_INDEX.format(self.root) if stands_in else ""
        return Held(*held, notice)

    def page(self, search: str = "", favourites: bool = False, before: int = LAST, count: int = PAGE) -> Page:
        """The newest `count` pictures before the number `before`; with `search`, whose prompts hold its words.

        What was deleted or changed behind the index's back is not shown. Raises InvalidRequest, StorageError.
        """
        if len(search) > LONGEST_SEARCH:
            raise InvalidRequest(
                f"The search is {len(search):,} characters long; shorten it to at most {LONGEST_SEARCH}.", "search"
            )
        with self._lock:
            return self._using(lambda index: self._page(index, search, favourites, before, count))

    def picture(self, id: int) -> Kept:
        """The picture with this number. Raises StorageError where it is gone."""
        with self._lock:
            return self._kept(self._using(lambda index: index.row(id)))

    def mark(self, id: int, favourite: bool) -> Kept:
        """Make a picture a favourite, or no longer one. Raises StorageError."""
        with self._lock:
            kept = self._kept(self._using(lambda index: index.row(id)))
            folder.mark(kept.path, favourite)
            self._using(lambda index: index.mark(id, favourite))
        return Kept(id, kept.path, favourite)

    def delete(self, id: int) -> None:
        """Delete a picture's file, for good. Raises StorageError where that cannot be done."""
        with self._lock:
            row = self._using(lambda index: index.row(id))
            if row is not None:
                folder.delete(self._path(row))
                self._using(lambda index: index.drop(row))

    # ------------------------------------------------------------------------------------ under the lock, from here

    def _look(self, index: Index) -> tuple[int, int]:
        there, before = folder.folders(self.root), index.folders()
        for name in before.keys() - there.keys():
            index.forget(name)
        for name, changed in there.items():
            if changed == 0 or before.get(name) != changed:
                self._look_into(index, name, changed)
        return index.counts()

    def _look_into(self, index: Index, name: str, changed: int) -> None:
        ours, others = index.known(name)
        there = {file.name: file for file in folder.files(self.root, name)}
        fresh = [
            file
            for file in there.values()
            if others.get(file.name) != file.state and (file.name not in ours or ours[file.name].state != file.state)
        ]
        said = [(file, folder.read(self.root / name / file.name)) for file in fresh]
        gone = (ours.keys() | others.keys()) - there.keys()
        pictures = [(file, text) for file, text in said if text is not None]
        index.update(name, changed, gone, pictures, [file for file, text in said if text is None])
        for row in ours.values():
            if row.name in there and there[row.name].favourite != row.favourite:
                index.mark(row.id, there[row.name].favourite)

    def _page(self, index: Index, search: str, favourites: bool, before: int, count: int) -> Page:
        shown: list[Kept] = []
        while True:
            rows = index.page(search, favourites, before, count + 1)
            for row in rows:
                path = self._path(row)
                try:
                    there = folder.state(path.lstat()) == row.state
                except OSError:
                    there = False
                if not there:  # gone or replaced: the next look takes it up again if there is something to take up
                    index.drop(row)
                elif len(shown) == count:
                    return Page(tuple(shown), shown[-1].id)
                else:
                    shown.append(Kept(row.id, path, row.favourite))
            if len(rows) <= count:
                return Page(tuple(shown), None)
            before = rows[-1].id

    def _kept(self, row: Row | None) -> Kept:
        if row is None or not self._path(row).is_file() or self._path(row).is_symlink():
            raise StorageError(GONE)
        return Kept(row.id, self._path(row), row.favourite)

    def _path(self, row: Row) -> Path:
        """Where a picture lies. An index is a file that anybody may have written: no name leads out of the folder."""
        for part in (row.folder, row.name):
            if part == ".." or Path(part).name != part:
                raise StorageError(GONE)
        return self.root / row.folder / row.name

    def _using(self, work: Callable[[Index], T]) -> T:
        """What `work` makes of the index: the one in the folder, made anew where it is broken, or one in memory."""
        if self._memory is not None:
            return work(Index(self._memory))
        if not self.root.is_dir():
            with closing(self._connect(":memory:")) as connection:
                return work(Index(connection))
        try:
            try:
                with self._opened() as index:
                    return work(index)
            except (Outdated, sqlite3.DatabaseError) as error:
                if not isinstance(error, Outdated) and _code(error) not in _BROKEN:
                    raise
                log.warning("The history's index is made anew: %s", error or "it has another form")
                for file in (self.root / folder.INDEX).glob("index.sqlite*"):
                    file.unlink(missing_ok=True)
                with self._opened() as index:
                    return self._again(index, work)
        except sqlite3.DatabaseError as error:
            if _code(error) in _LOCKED:
                raise StorageError("Another program is busy with this history; try again in a moment.") from error
            if _code(error) in _BROKEN:
                raise
            log.warning("The history's index is kept in memory: %s", error)
        except OSError as error:
            log.warning("The history's index is kept in memory: %s", error)
        self._memory = self._connect(":memory:")
        return self._again(Index(self._memory), work)

    def _again(self, index: Index, work: Callable[[Index], T]) -> T:
        self._look(index)
        return work(index)

    @contextmanager
    def _opened(self) -> Iterator[Index]:
        place = self.root / folder.INDEX
        place.mkdir(exist_ok=True)
        with closing(self._connect(str(place / "index.sqlite"))) as connection:
            yield Index(connection)


def _connect(place: str) -> sqlite3.Connection:
    return sqlite3.connect(place, timeout=BUSY, isolation_level=None, check_same_thread=False)


def _code(error: sqlite3.DatabaseError) -> int:
    """SQLite's own number for what went wrong, without what it says in detail."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_INTERNAL) & 0xFF
