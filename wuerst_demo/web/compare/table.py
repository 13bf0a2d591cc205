"""Data of the comparison table, which a template (comparison_table.html) renders in the browser.

Texts leave here escaped; the template inserts them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape, unescape
from typing import Any

from wuerst_demo.fields import Description, Text
from wuerst_demo.request import Limits
from wuerst_demo.web.compare.contact_sheet import list_shared_settings, prompt_in_common
from wuerst_demo.web.compare.grid import Cell, Grid
from wuerst_demo.web.compare.runner import CellResult, ComparisonView
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.static_files import read_static

TABLE_TEMPLATE = read_static("comparison_table.html")


def render_table(view: ComparisonView, limits: Limits) -> dict[str, Any] | None:
    """The template's data; None for a view without a grid."""
    grid = view.grid
    if grid is None:
        return None
    across, down = grid.across, grid.down
    cells = [_render_cell(cell, result) for cell, result in zip(grid.cells, view.results, strict=True)]
    labels = [value.label for value in down.values] if down else [""]
    return {
        "name": translate("The comparison"),
        "across": escape(translate(across.label)) if across else "",
        "down": escape(translate(down.label)) if down else "",
        "columns": [escape(value.label) for value in across.values] if across else [""],
        "rows": [
            {"label": escape(label), "cells": cells[k * grid.columns : (k + 1) * grid.columns]}
            for k, label in enumerate(labels)
        ],
        "shared": _render_shared_settings(grid, limits),
    }


def _render_shared_settings(grid: Grid, limits: Limits) -> str:
    """What all cells share, as HTML. Text from the user is marked as not to be translated."""
    prompt = "".join(
        (f'<span translate="no">{escape(each)}</span>' if grid.base.prompt else escape(translate(each))) + " / "
        for each in prompt_in_common(grid)
    )
    settings = (
        f"<span>{escape(translate(label))}</span> {_render_value(value, description)}"
        for label, value, description in list_shared_settings(grid, limits)
    )
    return prompt + ", ".join(settings)


def _render_value(value: str, description: Description) -> str:
    if isinstance(description, Text):
        return f'<span translate="no">{escape(value)}</span>'
    return f"<span>{escape(translate(value))}</span>"


def _render_cell(cell: Cell, result: CellResult) -> dict[str, Any]:
    return {
        "names": [[escape(translate(axis)), escape(value)] for axis, value in cell.names],
        "state": result.state,
        "message": escape(translate(result.message) if result.state == "failed" else ""),
        "width": cell.request.width,
        "height": cell.request.height,
        # Marked as a file for Gradio, which serves it and fills in its URL.
        "file": {"path": str(result.path), "meta": {"_type": "gradio.FileData"}} if result.path else None,
    }


def list_table_files(data: object) -> list[tuple[str, str]]:
    """Label and unchecked path of every image in a table that came back from a browser; none in anything else."""
    cells = [cell for row in _get_list(data, "rows") for cell in _get_list(row, "cells")]
    return [
        (_cell_label(cell), str(cell["file"]["path"]))
        for cell in cells
        if isinstance(cell, Mapping) and isinstance(cell.get("file"), Mapping) and "path" in cell["file"]
    ]


def _cell_label(cell: Mapping[str, Any]) -> str:
    names = (each for each in _get_list(cell, "names") if isinstance(each, list))
    return ", ".join(" ".join(unescape(str(part)) for part in each if part) for each in names)


def _get_list(data: object, name: str) -> list[Any]:
    """The list of this name in `data`, or an empty one."""
    found = data.get(name) if isinstance(data, Mapping) else None
    return found if isinstance(found, list) else []
