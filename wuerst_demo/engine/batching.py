"""Which rows go next: pure functions of where the rows stand. Does not know threads, torch or people."""

from __future__ import annotations

from collections.abc import Sequence

from wuerst_demo.engine.rows import R


def together(rows: Sequence[R], most: int) -> list[R]:
    """The first row and those that may share its forward pass, in their order, `most` at most; `rows` is not empty."""
    return [row for row in rows if row.key == rows[0].key][:most]
