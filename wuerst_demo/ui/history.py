"""The History tab: the pictures that are kept on this machine, found again, marked, used once more, deleted.

There only where `Studio.history` is: on a person's own machine. Handlers are above, layout and wiring below.

Does not know how pictures are kept, nor the drawing tab beyond filling it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any, Final

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import MetadataError, UserError
from wuerst_demo.history.history import GONE, LONGEST_SEARCH, History, Kept
from wuerst_demo.metadata import from_png
from wuerst_demo.ui import shelf as shelves
from wuerst_demo.ui import show
from wuerst_demo.ui.desk import Desk
from wuerst_demo.ui.drawing import OUR_FAULT
from wuerst_demo.ui.shelf import Shelf
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)
Updates = dict[Any, Any]
OWN: Final[Mapping[str, Any]] = {"api_visibility": "private", "show_progress": "hidden"}
IN_TURN: Final[Mapping[str, Any]] = {**OWN, "concurrency_id": "history", "concurrency_limit": 1}
"""One event after another, so that a search finds what the look at the folder before it has found."""


@dataclass(frozen=True)
class Tab:
    """The components of the tab."""

    shelf: gr.State
    search: gr.Textbox
    favourites: gr.Checkbox
    said: gr.HTML
    gallery: gr.Gallery
    newer: gr.Button
    older: gr.Button
    details: gr.HTML
    use: gr.Button
    mark: gr.Button
    delete: gr.Button
    keep: gr.Button

    def all(self) -> list[Component]:
        return [self.shelf, self.said, self.gallery, self.newer, self.older, self.details, *self.buttons()]

    def buttons(self) -> list[gr.Button]:
        return [self.use, self.mark, self.delete, self.keep]


Change = Callable[..., Shelf]
"""From a shelf, and what the visitor gave, to the shelf after it. Raises UserError."""


# ---------------------------------------------------------------------------------------------------- handlers


def changing(history: History, studio: Studio, tab: Tab, change: Change) -> Callable[..., Updates]:
    """The handler of a change. What cannot be done is said, and the shelf stays as it was."""

    def changed(shelf: Shelf, *given: object) -> Updates:
        try:
            after = change(history, shelf, *given)
            # Where the visitor closed the picture, it is closed, and another may be open by now.
            let_go = shelf.chosen is not None and after.chosen is None and change is not shelves.closed
            return _shown(tab, studio, after, let_go or shelf.pictures != after.pictures or shelf.trail != after.trail)
        except UserError as error:
            return {tab.said: shelves.said(shelf, str(error))}
        except Exception:
            log.exception("The history failed.")
            return {tab.said: shelves.said(shelf, OUR_FAULT)}

    return changed


def using(history: History, studio: Studio, tab: Tab, desk: Desk, tabs: gr.Tabs) -> Callable[[Shelf], Updates]:
    """The handler that takes the open picture's settings to the drawing tab."""

    def use(shelf: Shelf) -> Updates:
        if shelf.chosen is None:
            return {tab.said: shelves.said(shelf)}
        try:
            values, _ = from_png(history.picture(shelf.chosen.id).path).fit(studio.limits)
        except UserError as error:
            return {tab.said: shelves.said(shelf, str(error))}
        return {tabs: gr.Tabs(selected="draw"), **desk.fill(values)}

    return use


def _shown(tab: Tab, studio: Studio, shelf: Shelf, afresh: bool) -> Updates:
    """The tab's updates for a shelf. Unless `afresh`, the gallery is left alone, so as not to close a picture."""
    updates: Updates = {tab.shelf: shelf, tab.said: shelves.said(shelf), **_open(tab, studio, shelf)}
    if afresh:
        chosen = [each.id for each in shelf.pictures].index(shelf.chosen.id) if shelf.chosen else None
        pictures = [(_served(tab, each), _caption(each)) for each in shelf.pictures]
        updates[tab.gallery] = gr.Gallery(pictures, selected_index=chosen)
    updates[tab.newer] = gr.Button(interactive=len(shelf.trail) > 1)
    updates[tab.older] = gr.Button(interactive=shelf.older is not None)
    return updates


def _served(tab: Tab, kept: Kept) -> str:
    """The picture's file where the page may hand it out. The folder itself stays closed."""
    return str(tab.gallery.move_resource_to_block_cache(str(kept.path)))


def _caption(kept: Kept) -> str:
    return f"{'★ ' if kept.favourite else ''}{datetime(1970, 1, 1) + timedelta(microseconds=kept.id):%Y-%m-%d %H:%M}"


def _open(tab: Tab, studio: Studio, shelf: Shelf) -> Updates:
    chosen = shelf.chosen
    there = chosen is not None
    return {
        tab.details: _details(studio, chosen) if chosen else "",
        tab.use: gr.Button(visible=there),
        tab.mark: gr.Button("★ Not a favourite" if chosen and chosen.favourite else "☆ Favourite", visible=there),
        tab.delete: gr.Button("Delete for good" if shelf.sure else "Delete", visible=there),
        tab.keep: gr.Button(visible=there and shelf.sure),
    }


def _details(studio: Studio, kept: Kept) -> str:
    try:
        found = from_png(kept.path)
    except MetadataError:
        return f"<p>{escape(GONE)}</p>"
    values, refused = found.fit(studio.limits)
    by = f"<p>{escape(found.program)}, {escape(found.checkpoint or 'unnamed checkpoint')}, {escape(kept.path.name)}</p>"
    unsaid = studio.limits.descriptions.keys() - values
    rows = show.settings(studio.limits.request(values), studio.limits, without=unsaid)
    return f"{show.terms(rows)}{by}{show.notes(refused)}"


# -------------------------------------------------------------------------------------------- layout and wiring


def lay(studio: Studio, desk: Desk, tabs: gr.Tabs) -> None:
    """Makes and wires the tab, in the current Gradio context, which is that of the tabs; nothing without a history."""
    history = studio.history
    if history is None:
        return
    with gr.Tab("History", id="history") as opening:
        shelf = gr.State(Shelf())  # inside: between two tabs, Gradio would count it as one
        with gr.Row(elem_id="history-find"):
            search = gr.Textbox(
                label="Search",
                info="Words of a prompt, or how they begin.",
                max_length=LONGEST_SEARCH,
                elem_id="history-search",
                scale=3,
            )
            favourites = gr.Checkbox(label="Favourites only", elem_id="history-favourites", scale=1)
        said = gr.HTML(elem_id="history-said")
        with gr.Row(elem_id="history"):
            with gr.Column(elem_id="history-pictures"):
                gallery = gr.Gallery(
                    label="Kept pictures",
                    show_label=False,
                    object_fit="contain",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="history-gallery",
                )
                with gr.Row(elem_id="history-turn"):
                    newer = gr.Button("Newer", interactive=False, elem_id="history-newer")
                    older = gr.Button("Older", interactive=False, elem_id="history-older")
            with gr.Column(elem_id="history-open"):
                details = gr.HTML(elem_id="history-details")
                use = gr.Button("Use these settings", variant="primary", visible=False, elem_id="history-use")
                mark = gr.Button("☆ Favourite", visible=False, elem_id="history-mark")
                # Before the other, so that the second click of a double one keeps the picture.
                keep = gr.Button("Keep it", visible=False, elem_id="history-keep")
                delete = gr.Button("Delete", visible=False, elem_id="history-delete")
    tab = Tab(shelf, search, favourites, said, gallery, newer, older, details, use, mark, delete, keep)
    _wire(studio, history, desk, tab, tabs, opening)


def _wire(studio: Studio, history: History, desk: Desk, tab: Tab, tabs: gr.Tabs, opening: gr.Tab) -> None:
    def handler(change: Change) -> Callable[..., Updates]:
        return changing(history, studio, tab, change)

    def choose(shelf: Shelf, event: gr.SelectData) -> Updates:
        return handler(shelves.chosen)(shelf, event.index)

    outputs = tab.all()
    opening.select(handler(shelves.opened), [tab.shelf], outputs, **IN_TURN)
    gr.on(
        [tab.search.change, tab.favourites.change],
        handler(shelves.sought),
        [tab.shelf, tab.search, tab.favourites],
        outputs,
        trigger_mode="always_last",
        **IN_TURN,
    )
    tab.gallery.select(choose, [tab.shelf], outputs, **IN_TURN)
    tab.gallery.preview_close(handler(shelves.closed), [tab.shelf], outputs, **IN_TURN)
    for button, change in (
        (tab.newer, shelves.newer),
        (tab.older, shelves.older),
        (tab.mark, shelves.marked),
        (tab.delete, shelves.deleted),
        (tab.keep, shelves.spared),
    ):
        button.click(handler(change), [tab.shelf], outputs, **IN_TURN)
    used = [tabs, tab.said, *desk.controls.made.values(), desk.new_seed]
    tab.use.click(using(history, studio, tab, desk, tabs), [tab.shelf], used, **IN_TURN)
