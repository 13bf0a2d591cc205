"""A comparison as the page shows it: a table whose cells are files that the browser fetches.

The table is made in the browser, by assets/board.html, from what is said here. Texts leave here escaped; the template
puts them in as they are.

Does not know Gradio's components, or how pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path
from typing import Any

from wuerst_demo.request import Description, Limits, Text
from wuerst_demo.ui.comparing import Board, Tile
from wuerst_demo.ui.grid import Cell, Grid
from wuerst_demo.ui.sheet import NO_PROMPT, shared

TEMPLATE = Path(__file__).resolve().parents[2] / "assets" / "board.html"


def table(board: Board, limits: Limits) -> dict[str, Any] | None:
    """What the template is given; None for a board without a grid."""
    grid = board.grid
    if grid is None:
        return None
    across, down = grid.across, grid.down
    cells = [_cell(cell, tile) for cell, tile in zip(grid.cells, board.tiles, strict=True)]
    labels = [value.label for value in down.values] if down else [""]
    return {
        "name": "The comparison",
        "across": escape(across.label) if across else "",
        "down": escape(down.label) if down else "",
        "columns": [escape(value.label) for value in across.values] if across else [""],
        "rows": [
            {"label": escape(label), "cells": cells[k * grid.columns : (k + 1) * grid.columns]}
            for k, label in enumerate(labels)
        ],
        "shared": _shared(grid, limits),
    }


def _shared(grid: Grid, limits: Limits) -> str:
    """What the cells share, as HTML; a visitor's words are marked as such, and stay as they are in every language."""
    prompt = f'<span translate="no">{escape(grid.base.prompt)}</span>' if grid.base.prompt else escape(NO_PROMPT)
    settings = (f"<span>{escape(label)}</span> {_value(value, kind)}" for label, value, kind in shared(grid, limits))
    return f"{prompt} / {', '.join(settings)}"


def _value(value: str, kind: Description) -> str:
    own = ' translate="no"' if isinstance(kind, Text) else ""
    return f"<span{own}>{escape(value)}</span>"


def _cell(cell: Cell, tile: Tile) -> dict[str, Any]:
    said = {"waiting": "", "done": "", "failed": tile.message}[tile.state]
    return {
        "names": [[escape(axis), escape(value)] for axis, value in cell.names],
        "state": tile.state,
        "said": escape(said),
        "width": cell.request.width,
        "height": cell.request.height,
        # What marks a file for Gradio, which serves it and says under which address.
        "file": {"path": str(tile.path), "meta": {"_type": "gradio.FileData"}} if tile.path else None,
    }


def files(shown: object) -> list[tuple[str, str]]:
    """Label and path of every picture in a table that came back from a browser. Nobody has checked the paths: it may
    have named any file.

    What is no such table has none.
    """
    cells = [cell for row in _listed(shown, "rows") for cell in _listed(row, "cells")]
    return [
        (_label(cell), str(cell["file"]["path"]))
        for cell in cells
        if isinstance(cell, Mapping) and isinstance(cell.get("file"), Mapping) and "path" in cell["file"]
    ]


def _label(cell: Mapping[str, Any]) -> str:
    names = (each for each in _listed(cell, "names") if isinstance(each, list))
    return ", ".join(" ".join(unescape(str(part)) for part in each if part) for each in names)


def _listed(whole: object, name: str) -> list[Any]:
    """The list of this name in what a browser sent, or nothing."""
    found = whole.get(name) if isinstance(whole, Mapping) else None
    return found if isinstance(found, list) else []
