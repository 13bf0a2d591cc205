"""The index over a history: which pictures there are, newest first, and which words their prompts hold.

A picture's number orders it by time, in microseconds, and stands for it in the word index too. So a page of pictures,
searched or not, begins at a number and reads as many rows as it shows, wherever in the history it lies.

SQL stands here and nowhere else, and every value goes into it as a parameter. Does not know files or why a picture is
in the history.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wuerst_demo.history.folder import File, Said

FORM = 1
"""The form of the index. One of another form is made anew."""
LAST = 2**62
"""Greater than every picture's number."""

# Marks (Mn) belong to words in many scripts; symbols (So) make emoji words that can be looked for.
_TABLES = f"""
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
PRAGMA user_version = {FORM};
COMMIT;
"""


@dataclass(frozen=True)
class Row:
    """A picture as the index knows it."""

    id: int
    folder: str
    name: str
    state: tuple[int, int]
    favourite: bool


class Outdated(Exception):
    """The index has another form, and is to be made anew."""


class Index:
    """The index behind one open connection, which is in autocommit mode."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Makes the tables where there are none. Raises Outdated, sqlite3.Error."""
        self._sql = connection
        (form,) = self._sql.execute("PRAGMA user_version").fetchone()
        if form == 0:
            try:
                self._sql.executescript(_TABLES)
            except sqlite3.OperationalError:
                self._sql.rollback()
                (form,) = self._sql.execute("PRAGMA user_version").fetchone()
                if form == 0:  # another program has not made them in the meantime
                    raise
        elif form != FORM:
            raise Outdated

    def folders(self) -> dict[str, int]:
        """Each folder that was looked at, and when it had last changed then."""
        return dict(self._sql.execute("SELECT name, changed FROM folders"))

    def known(self, folder: str) -> tuple[dict[str, Row], dict[str, tuple[int, int]]]:
        """Pictures and other files of a folder, by name; of the others their states."""
        pictures = {
            row[2]: _row(row)
            for row in self._sql.execute(
                "SELECT id, folder, name, size, changed, favourite FROM pictures WHERE folder = ?", (folder,)
            )
        }
        others = self._sql.execute("SELECT name, size, changed FROM others WHERE folder = ?", (folder,))
        return pictures, {name: (size, changed) for name, size, changed in others}

    def update(
        self,
        folder: str,
        changed: int,
        gone: Iterable[str],
        pictures: Sequence[tuple[File, Said]],
        others: Sequence[File],
    ) -> None:
        """Take out what is gone, put in what is new, and note that the folder was looked at: all of it or nothing."""
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            new = [*(file for file, _ in pictures), *others]
            names = [(folder, name) for name in (*gone, *(file.name for file in new))]
            self._sql.executemany("DELETE FROM pictures WHERE folder = ? AND name = ?", names)
            self._sql.executemany("DELETE FROM others WHERE folder = ? AND name = ?", names)
            self._sql.executemany(
                "INSERT INTO others VALUES (?, ?, ?, ?)", [(folder, file.name, *file.state) for file in others]
            )
            for file, said in sorted(pictures, key=lambda each: each[1].made):
                values = (self._free(said.made), folder, file.name, *file.state, file.favourite)
                self._sql.execute(
                    "INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, said.prompt, said.negative_prompt)
                )
            self._sql.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (folder, changed))
            self._sql.execute("COMMIT")
        except BaseException:
            self._sql.rollback()
            raise

    def forget(self, folder: str) -> None:
        """Take out a folder that is gone, with all that was in it."""
        self._sql.execute("DELETE FROM pictures WHERE folder = ?", (folder,))
        self._sql.execute("DELETE FROM others WHERE folder = ?", (folder,))
        self._sql.execute("DELETE FROM folders WHERE name = ?", (folder,))

    def drop(self, row: Row) -> None:
        """Take out one picture, and have its folder looked at again."""
        self._sql.execute("DELETE FROM pictures WHERE id = ? AND name = ?", (row.id, row.name))
        self._sql.execute("UPDATE folders SET changed = 0 WHERE name = ?", (row.folder,))

    def mark(self, id: int, favourite: bool) -> None:
        self._sql.execute("UPDATE pictures SET favourite = ? WHERE id = ?", (favourite, id))

    def counts(self) -> tuple[int, int]:
        """How many pictures there are, and how many other files."""
        (pictures,) = self._sql.execute("SELECT count(*) FROM pictures").fetchone()
        (others,) = self._sql.execute("SELECT count(*) FROM others").fetchone()
        return pictures, others

    def row(self, id: int) -> Row | None:
        found = self._sql.execute(
            "SELECT id, folder, name, size, changed, favourite FROM pictures WHERE id = ?", (id,)
        ).fetchone()
        return found and _row(found)

    def page(self, search: str, favourites: bool, before: int, count: int) -> list[Row]:
        """The newest pictures whose number is below `before`, newest first, `count` at most. With a search, those
        whose prompts hold each of its words, or words that begin so."""
        rows = "SELECT p.id, p.folder, p.name, p.size, p.changed, p.favourite FROM"
        newest = "ORDER BY p.id DESC LIMIT ?"
        if search := matching(search):
            found = self._sql.execute(
                f"{rows} words CROSS JOIN pictures p ON p.id = words.rowid WHERE words MATCH ? AND words.rowid < ?"
                " AND (p.favourite OR NOT ?) ORDER BY words.rowid DESC LIMIT ?",
                (search, before, favourites, count),
            )
        elif favourites:
            where = "INDEXED BY favourites WHERE p.favourite AND p.id < ?"
            found = self._sql.execute(f"{rows} pictures p {where} {newest}", (before, count))
        else:
            found = self._sql.execute(f"{rows} pictures p WHERE p.id < ? {newest}", (before, count))
        return [_row(row) for row in found]

    def _free(self, id: int) -> int:
        """The number itself, or the next one that no picture has."""
        id = min(id, LAST - 2 * 10**6)
        while self._sql.execute("SELECT 1 FROM pictures WHERE id = ?", (id,)).fetchone():
            within = (id, id + 10**6)
            (last,) = self._sql.execute("SELECT max(id) FROM pictures WHERE id BETWEEN ? AND ?", within).fetchone()
            id = last + 1
        return id


def matching(search: str) -> str:
    """What a person wrote, as a query of the word index in which nothing is an operator: each word, quoted."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in search)
    return " ".join('"' + word.replace('"', '""') + '"*' for word in kept.split())


def _row(row: Sequence[int | str]) -> Row:
    id, folder, name, size, changed, favourite = row
    return Row(int(id), str(folder), str(name), (int(size), int(changed)), bool(favourite))
