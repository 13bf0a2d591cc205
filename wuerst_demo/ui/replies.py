"""The handlers of the comparing tab: what `comparing` says, as updates of the tab's components.

Does not know where the components stand, or which event calls which handler (see `compare`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, cast

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import WuerstError
from wuerst_demo.request import Limits
from wuerst_demo.ui import axes, board, sheet, show
from wuerst_demo.ui.comparing import Asked, Board, check
from wuerst_demo.ui.comparisons import Comparisons
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.drawing import OUR_FAULT
from wuerst_demo.ui.seats import Seat
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)
Updates = dict[Component, Any]


@dataclass(frozen=True)
class Stand:
    """The components of the tab: those that show something, and `fields`, what can be set there, by the names that
    `asked` knows."""

    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    table: gr.HTML
    sheet: gr.DownloadButton
    fields: Mapping[str, Component]

    @property
    def shown(self) -> list[Component]:
        return [self.status, self.table, self.sheet, self.go, self.stop]

    def buttons(self, running: bool) -> Updates:
        return {self.go: gr.Button(interactive=not running), self.stop: gr.Button(interactive=running)}

    def fill(self, wanted: Asked, limits: Limits) -> Updates:
        """What was set for a comparison. The values' fields are as `fitted` makes them for their setting."""
        prompt, ways = wanted.values.get("prompt"), {"across": wanted.across, "down": wanted.down}
        updates: Updates = {self.fields["variants"]: prompt}
        for way, (name, typed) in ways.items():
            values = gr.Textbox(visible=False)
            if name and name != axes.PROMPT:
                values = gr.Textbox(typed, info=axes.hint(limits, name), visible=True)
            updates |= {self.fields[way]: name, self.fields[f"{way}_values"]: values}
        return updates


def asked(given: Mapping[str, object]) -> Asked:
    """What was set, from the drawing tab's values by field name and this tab's own."""
    values = dict(given)
    across, down = (
        (str(values.pop(name) or ""), str(values.pop(f"{name}_values") or "")[: axes.LONGEST + 1])
        for name in ("across", "down")
    )
    values["prompt"] = values.pop("variants")
    return Asked(values, across, down)


def comparison(comparisons: Comparisons, studio: Studio, desk: Desk, stand: Stand) -> Callable[..., Iterator[Updates]]:
    """The handler that compares. Its inputs are the drawing tab's values by field name, this tab's own, and
    `desk.seat`."""

    def compared(request: gr.Request, owner: object, tab: object, **given: object) -> Iterator[Updates]:
        seat, page = Seat.taken(owner, tab), request.session_hash or ""
        yield from _told(comparisons.compare(seat, asked(given), page), studio, stand)

    return compared


def coming_back(comparisons: Comparisons, studio: Studio, stand: Stand) -> Callable[..., Iterator[Updates]]:
    """The handler of a page that opens: shows the comparison that it finds on its seat, if any."""

    def come_back(request: gr.Request, owner: object, tab: object) -> Iterator[Updates]:
        found = comparisons.find(Seat.taken(owner, tab), request.session_hash or "")
        if found is None:
            yield {stand.go: gr.skip()}  # a handler that answers nothing empties all that it could have changed
            return
        filled = stand.fill(found.asked, studio.limits)
        for updates in _told(found.follow(), studio, stand):
            yield updates | filled
            filled = {}

    return come_back


def _told(boards: Iterator[Board], studio: Studio, stand: Stand) -> Iterator[Updates]:
    served: dict[int, Path] = {}  # where the page keeps a cell's file, once it has been shown
    tiles: object = None
    with closing(cast("Generator[Board]", boards)):
        for seen in boards:
            updates: Updates = {stand.status: show.line(seen.state, seen.message, seen.fraction)}
            updates |= stand.buttons(running=not seen.over)
            if seen.grid is not None:
                if tiles is None:
                    updates[stand.sheet] = gr.DownloadButton(interactive=False)
                if seen.tiles != tiles:
                    tiles = seen.tiles
                    updates |= _table(studio, stand, seen, served)
            yield updates | together(studio, stand, seen) if seen.over else updates


def _table(studio: Studio, stand: Stand, seen: Board, served: dict[int, Path]) -> Updates:
    """The table, with its files where the page serves them from; `served` remembers those."""
    for number in (number for number in seen.files if number not in served or not served[number].is_file()):
        served[number] = Path(stand.table.move_resource_to_block_cache(seen.files[number]) or "")
    theirs = replace(seen, tiles=tuple(replace(tile, path=served.get(k)) for k, tile in enumerate(seen.tiles)))
    return {stand.table: board.table(theirs, studio.limits)}


def together(studio: Studio, stand: Stand, seen: Board) -> Updates:
    """The labelled picture to download; nothing where no cell is finished. It is made once, of the comparison's own
    files and beside them: those that the page serves go after a while."""
    if seen.grid is None or not seen.files:
        return {}
    own = next(iter(seen.files.values())).parent
    place = own / f"sheet of {len(seen.files)}"
    try:
        path = next(place.glob("comparison-*.png"), None) or sheet.save(studio, seen.grid, seen.files, place)
    except FileNotFoundError:  # the comparison has been let go meanwhile, and its files with it
        return {}
    except WuerstError as error:
        return {stand.status: show.line("refused", str(error))}
    return {stand.sheet: gr.DownloadButton(value=path, interactive=True)}


def outlook(studio: Studio) -> Callable[..., str]:
    """The handler that says, before anything is drawn, how many pictures it will be and how long they take."""

    def look(**given: object) -> str:
        try:
            grid = check(studio, asked(given))
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
