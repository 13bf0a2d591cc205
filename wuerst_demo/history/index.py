"""SQLite index of the history: images by creation time, with full-text search in their prompts.

The id of an image is its creation time in microseconds, made unique. The full-text table uses the same ids, so a page
of images, searched or not, reads only the rows that it shows, however large the history is.

All SQL of the project is here, and every value is passed as a parameter.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wuerst_demo.history.folder import ImageFile, ImageRecord

SCHEMA_VERSION = 1
"""An index with another version is rebuilt."""
MAX_ID = 2**62
"""Greater than every image's id."""
MAX_CREATED_US = 253_402_214_400 * 10**6
"""Latest creation time of an image: the end of the year 9999, after which no date can be shown."""
_ID_WINDOW = 10**6
"""How many ids are searched at once for the last taken one: the microseconds of one second."""

# Marks (Mn) are parts of words in many scripts; symbols (So) make emoji searchable.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE folders (name TEXT PRIMARY KEY, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE others (
    folder TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, changed INTEGER NOT NULL,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY, folder TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, changed INTEGER NOT NULL,
    favourite INTEGER NOT NULL, prompt TEXT NOT NULL, negative_prompt TEXT NOT NULL, UNIQUE (folder, name)
);
CREATE INDEX favourites ON pictures (id) WHERE favourite;
CREATE VIRTUAL TABLE words USING fts5 (
    prompt, negative_prompt, content = 'pictures', content_rowid = 'id',
    tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co So Mn'"
);
CREATE TRIGGER added AFTER INSERT ON pictures BEGIN
    INSERT INTO words (rowid, prompt, negative_prompt) VALUES (new.id, new.prompt, new.negative_prompt);
END;
CREATE TRIGGER removed AFTER DELETE ON pictures BEGIN
    INSERT INTO words (words, rowid, prompt, negative_prompt)
    VALUES ('delete', old.id, old.prompt, old.negative_prompt);
END;
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


@dataclass(frozen=True)
class IndexEntry:
    """An indexed image."""

    id: int
    folder: str
    name: str
    state: tuple[int, int]
    """Size in bytes and modification time in ns when it was indexed."""
    favourite: bool
    foreign: bool = False
    """Whether another program has stored values that this one never does."""


class OutdatedSchema(Exception):
    """The index has another schema version."""


class HistoryIndex:
    """The index on one open connection in autocommit mode. Methods raise sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Create the tables if there are none. Raises OutdatedSchema."""
        self._sql = connection
        version = self._version()
        if version == 0:
            try:
                self._sql.executescript(_SCHEMA)
            except sqlite3.OperationalError:
                self._sql.rollback()
                if self._version() == 0:  # else another program has just created them
                    raise
        elif version != SCHEMA_VERSION:
            raise OutdatedSchema

    def _version(self) -> int:
        (version,) = self._sql.execute("PRAGMA user_version").fetchone()
        return int(version)

    def folders(self) -> dict[str, int]:
        """Indexed folders with their modification times in ns at that time."""
        return dict(self._sql.execute("SELECT name, changed FROM folders"))

    def files(self, folder: str) -> tuple[dict[str, IndexEntry], dict[str, tuple[int, int]]]:
        """Indexed images of a folder by name, and the states of other PNG files by name."""
        rows = self._sql.execute(
            "SELECT id, folder, name, size, changed, favourite FROM pictures WHERE folder = ?", (folder,)
        )
        images = {entry.name: entry for entry in map(_to_entry, rows)}
        others = self._sql.execute("SELECT name, size, changed FROM others WHERE folder = ?", (folder,))
        return images, {name: (size, changed) for name, size, changed in others}

    def update(
        self,
        folder: str,
        modified_ns: int,
        removed: Iterable[str],
        images: Sequence[tuple[ImageFile, ImageRecord]],
        others: Sequence[ImageFile],
    ) -> None:
        """Replace a folder's changed files and record its modification time, in one transaction."""
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            new = [*(file for file, _ in images), *others]
            names = [(folder, name) for name in (*removed, *(file.name for file in new))]
            self._sql.executemany("DELETE FROM pictures WHERE folder = ? AND name = ?", names)
            self._sql.executemany("DELETE FROM others WHERE folder = ? AND name = ?", names)
            self._sql.executemany(
                "INSERT INTO others VALUES (?, ?, ?, ?)", [(folder, file.name, *file.state) for file in others]
            )
            for file, record in sorted(images, key=lambda image: image[1].created_us):
                values = (self._free_id(record.created_us), folder, file.name, *file.state, file.favourite)
                texts = (record.prompt, record.negative_prompt)
                self._sql.execute("INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, *texts))
            self._sql.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (folder, modified_ns))
            self._sql.execute("COMMIT")
        except BaseException:
            self._sql.rollback()
            raise

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and its files from the index."""
        self._sql.execute("DELETE FROM pictures WHERE folder = ?", (folder,))
        self._sql.execute("DELETE FROM others WHERE folder = ?", (folder,))
        self._sql.execute("DELETE FROM folders WHERE name = ?", (folder,))

    def remove(self, entry: IndexEntry) -> None:
        """Remove one image from the index; the next refresh reads its folder again, or all if that is unknown."""
        self._sql.execute(
            "DELETE FROM pictures WHERE id = ? AND (name = ? OR ?)", (entry.id, entry.name, entry.foreign)
        )
        unknown = "NOT EXISTS (SELECT 1 FROM folders WHERE name = ?)"
        self._sql.execute(f"UPDATE folders SET changed = 0 WHERE name = ? OR {unknown}", (entry.folder, entry.folder))

    def set_favourite(self, id: int, favourite: bool) -> None:
        self._sql.execute("UPDATE pictures SET favourite = ? WHERE id = ?", (favourite, id))

    def counts(self) -> tuple[int, int]:
        """Number of images, and of other PNG files."""
        (images,) = self._sql.execute("SELECT count(*) FROM pictures").fetchone()
        (others,) = self._sql.execute("SELECT count(*) FROM others").fetchone()
        return images, others

    def image(self, id: int) -> IndexEntry | None:
        row = self._sql.execute(
            "SELECT id, folder, name, size, changed, favourite FROM pictures WHERE id = ?", (id,)
        ).fetchone()
        return row and _to_entry(row)

    def page(self, search: str, favourites: bool, before: int, count: int) -> list[IndexEntry]:
        """At most `count` images with ids below `before`, newest first.

        With `search`, images whose prompt or negative prompt contains words that begin with each of its words.
        """
        select = "SELECT p.id, p.folder, p.name, p.size, p.changed, p.favourite FROM"
        newest = "ORDER BY p.id DESC LIMIT ?"
        if search := fts_query(search):
            rows = self._sql.execute(
                f"{select} words CROSS JOIN pictures p ON p.id = words.rowid WHERE words MATCH ? AND words.rowid < ?"
                " AND (p.favourite OR NOT ?) ORDER BY words.rowid DESC LIMIT ?",
                (search, before, favourites, count),
            )
        elif favourites:
            where = "INDEXED BY favourites WHERE p.favourite AND p.id < ?"
            rows = self._sql.execute(f"{select} pictures p {where} {newest}", (before, count))
        else:
            rows = self._sql.execute(f"{select} pictures p WHERE p.id < ? {newest}", (before, count))
        return [_to_entry(row) for row in rows]

    def _free_id(self, id: int) -> int:
        """The id itself if no image has it, else the next free one."""
        id = min(id, MAX_ID - 2 * _ID_WINDOW)
        while self._sql.execute("SELECT 1 FROM pictures WHERE id = ?", (id,)).fetchone():
            within = (id, id + _ID_WINDOW)
            (last,) = self._sql.execute("SELECT max(id) FROM pictures WHERE id BETWEEN ? AND ?", within).fetchone()
            id = last + 1
        return id


def fts_query(search: str) -> str:
    """Full-text query for a search text: each word quoted, so that nothing in it is an operator, as a prefix."""
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in search)
    return " ".join('"' + word.replace('"', '""') + '"*' for word in text.split())


def _to_entry(row: Sequence[int | str]) -> IndexEntry:
    id, folder, name, size, changed, favourite = row
    numbers = isinstance(size, int) and isinstance(changed, int) and favourite in (0, 1)
    foreign = not (numbers and isinstance(folder, str) and isinstance(name, str))
    state = (-1, -1) if foreign else (int(size), int(changed))
    return IndexEntry(int(id), str(folder), str(name), state, favourite == 1, foreign)
