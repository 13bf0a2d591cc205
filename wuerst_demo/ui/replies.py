"""The handlers of the comparing tab: what `comparing` says, as updates of the tab's components.

Does not know where the components stand, or which event calls which handler (see `compare`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import WuerstError
from wuerst_demo.request import Limits
from wuerst_demo.ui import axes, board, sheet, show
from wuerst_demo.ui.comparing import Board, check, compare
from wuerst_demo.ui.drawing import OUR_FAULT
from wuerst_demo.ui.progress import kept
from wuerst_demo.ui.runs import Seat
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)
Updates = dict[Component, Any]


@dataclass(frozen=True)
class Stand:
    """The components of the tab that show something. `board` holds the newest `comparing.Board`, whose files are those
    that the page serves."""

    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    table: gr.HTML
    sheet: gr.DownloadButton
    board: gr.State

    def buttons(self, running: bool) -> Updates:
        return {self.go: gr.Button(interactive=not running), self.stop: gr.Button(interactive=running)}


Asked = tuple[dict[str, object], tuple[str, str], tuple[str, str]]


def asked(given: dict[str, object]) -> Asked:
    """What was set, as `comparing.compare` takes it: the request's values, and both axes."""
    ways = [(str(given.pop(name) or ""), str(given.pop(f"{name}_values") or "")) for name in ("across", "down")]
    given["prompt"] = given.pop("variants")
    return given, ways[0], ways[1]


def comparison(studio: Studio, stand: Stand) -> Callable[..., Iterator[Updates]]:
    """The handler that compares. Its inputs are the drawing tab's values by field name, and this tab's own."""

    def compared(seat: Seat | None, **given: object) -> Iterator[Updates]:
        served: dict[int, Path] = {}  # where the page keeps a cell's file, once it has been shown
        tiles: object = None
        owner = (seat or Seat.taken(None, None)).owner
        with closing(compare(studio, *asked(given), owner)) as boards:
            for seen in boards:
                updates: Updates = {stand.status: show.line(seen.state, seen.message, seen.fraction)}
                if seen.grid is not None:
                    if tiles is None:
                        updates |= stand.buttons(running=True) | {stand.sheet: gr.DownloadButton(interactive=False)}
                    if seen.tiles != tiles:
                        tiles = seen.tiles
                        updates |= _table(studio, stand, seen, served)
                if not seen.over:
                    yield updates
                    continue
                with TemporaryDirectory(prefix="wuerst-", ignore_cleanup_errors=True) as folder:
                    yield updates | stand.buttons(running=False) | together(studio, stand, seen, served, folder)

    return compared


def _table(studio: Studio, stand: Stand, seen: Board, served: dict[int, Path]) -> Updates:
    """The table, with its files where the page serves them from; `served` remembers those."""
    for number in seen.files.keys() - served.keys():
        served[number] = Path(stand.table.move_resource_to_block_cache(seen.files[number]) or "")
    theirs = replace(seen, tiles=tuple(replace(tile, path=served.get(k)) for k, tile in enumerate(seen.tiles)))
    return {stand.table: board.table(theirs, studio.limits), stand.board: theirs}


def together(studio: Studio, stand: Stand, seen: Board, files: dict[int, Path], folder: str) -> Updates:
    """The labelled picture to download, written into `folder`; nothing where no cell is finished."""
    if seen.grid is None or not files:
        return {}
    try:
        path = sheet.save(studio, seen.grid, files, Path(folder))
    except WuerstError as error:
        return {stand.status: show.line("refused", str(error))}
    return {stand.sheet: gr.DownloadButton(value=path, interactive=True)}


def stopped(studio: Studio, stand: Stand) -> Callable[[Board | None], Iterator[Updates]]:
    """What the tab says after Stop, which has ended the drawing; the table keeps what was finished."""

    def stop(seen: Board | None) -> Iterator[Updates]:
        files = seen.files if seen else {}
        with TemporaryDirectory(prefix="wuerst-", ignore_cleanup_errors=True) as folder:
            updates = {stand.status: show.line("idle", kept(len(files))), **stand.buttons(running=False)}
            yield updates | (together(studio, stand, seen, files, folder) if seen else {})

    return stop


def outlook(studio: Studio) -> Callable[..., str]:
    """The handler that says, before anything is drawn, how many pictures it will be and how long they take."""

    def look(**given: object) -> str:
        try:
            grid = check(studio, *asked(given))
        except WuerstError as error:
            return f'<span class="refused">{escape(str(error))}</span>'
        except Exception:
            log.exception("A comparison could not be looked at.")
            return f'<span class="refused">{escape(OUR_FAULT)}</span>'
        count = len(grid.cells)
        pictures = "1 picture" if count == 1 else f"{count} pictures"
        seconds = grid.seconds(studio.engine.estimate)
        if seconds is None:
            return f"{pictures}; how long that takes is known once one of this size has been drawn."
        return f"{pictures}, about {duration(seconds)}"

    return look


def duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"


def fitted(limits: Limits) -> str:
    """The script that fits the values' field to the setting that was chosen: its values to begin with, and its help."""
    fields: dict[str, dict[str, Any]] = {
        name: {"value": axes.usual(limits, name), "info": axes.hint(limits, name), "visible": True}
        for name in axes.varied(limits)
        if name != axes.PROMPT
    }
    updates = {name: {"__type__": "update", **field} for name, field in fields.items()}
    hidden = {"__type__": "update", "visible": False}
    return f"(name) => ({json.dumps(updates)}[name] ?? {json.dumps(hidden)})"
