"""State of the History tab and its changes: pages, search, selection, favourites, deletion.

Each change is a function from a state, and what the user entered, to the next state. It may raise UserError.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html import escape

from wuerst_demo.history.index import MAX_ID
from wuerst_demo.history.store import PAGE_SIZE, HistoryImage, HistoryStore, HistorySummary
from wuerst_demo.messages import Message, message
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.progress import count_text


@dataclass(frozen=True)
class HistoryState:
    """What one browser tab shows of the history."""

    folder: HistorySummary = field(default_factory=lambda: HistorySummary(0, 0))
    search: str = ""
    favourites: bool = False
    """Whether only favourites are shown."""
    page_starts: tuple[int, ...] = (MAX_ID,)
    """Image id before which each page starts, from the first page to the present one."""
    images: tuple[HistoryImage, ...] = ()
    """The present page."""
    next_start: int | None = None
    """As `page_starts` for the next page; None on the last one."""
    selected: HistoryImage | None = None
    delete_pressed: bool = False
    """Whether the next press of Delete deletes the selected image."""


def open_folder(history: HistoryStore, state: HistoryState) -> HistoryState:
    """The first page of what the folder contains now."""
    return go_to_page(history, replace(state, folder=history.refresh()), (MAX_ID,))


def search_images(history: HistoryStore, state: HistoryState, search: object, favourites: object) -> HistoryState:
    """The first page of the images that match."""
    return go_to_page(history, replace(state, search=str(search or ""), favourites=bool(favourites)), (MAX_ID,))


def go_to_page(history: HistoryStore, state: HistoryState, page_starts: tuple[int, ...]) -> HistoryState:
    """The page at the end of `page_starts`, or the last one before it that has an image."""
    page = history.page(state.search, state.favourites, page_starts[-1])
    if not page.images and len(page_starts) > 1:
        return go_to_page(history, state, page_starts[:-1])
    return replace(
        state,
        page_starts=page_starts,
        images=page.images,
        next_start=page.older,
        selected=None,
        delete_pressed=False,
    )


def go_to_older_page(history: HistoryStore, state: HistoryState) -> HistoryState:
    return state if state.next_start is None else go_to_page(history, state, (*state.page_starts, state.next_start))


def go_to_newer_page(history: HistoryStore, state: HistoryState) -> HistoryState:
    return go_to_page(history, state, state.page_starts[:-1] or state.page_starts)


def select_image(history: HistoryStore, state: HistoryState, position: object) -> HistoryState:
    """The image at `position` of the page selected, or none."""
    image = state.images[position] if isinstance(position, int) and 0 <= position < len(state.images) else None
    return replace(state, selected=image and history.image(image.id), delete_pressed=False)


def close_image(history: HistoryStore, state: HistoryState) -> HistoryState:
    return replace(state, selected=None, delete_pressed=False)


def toggle_favourite(history: HistoryStore, state: HistoryState) -> HistoryState:
    if state.selected is None:
        return state
    marked = history.set_favourite(state.selected.id, not state.selected.favourite)
    images = tuple(marked if each.id == marked.id else each for each in state.images)
    return replace(state, selected=marked, images=images)


def delete_selected(history: HistoryStore, state: HistoryState) -> HistoryState:
    """Deletes the selected image when called for the second time."""
    if state.selected is None or not state.delete_pressed:
        return replace(state, delete_pressed=state.selected is not None)
    history.delete(state.selected.id)
    folder = replace(state.folder, image_count=max(0, state.folder.image_count - 1))
    return go_to_page(history, replace(state, folder=folder), state.page_starts)


def cancel_delete(history: HistoryStore, state: HistoryState) -> HistoryState:
    return replace(state, delete_pressed=False)


def render_summary(state: HistoryState, error: str = "", news: Message | None = None) -> str:
    """The page's position in the history, or `news` in its place, and any problem, as HTML."""
    texts = [news or _position_text(state)]
    if state.folder.other_count == 1:
        texts.append(message("One other PNG file in the folder is ignored."))
    elif state.folder.other_count:
        texts.append(message("{count:,} other PNG files in the folder are ignored.", count=state.folder.other_count))
    problems = "".join(
        f'<p class="trouble" role="alert">{escape(translate(each))}</p>'
        for each in (error, state.folder.notice)
        if each
    )
    return f'<p role="status">{escape(" ".join(map(translate, texts)))}</p>{problems}'


def _position_text(state: HistoryState) -> Message:
    if not state.folder.image_count:
        return message("No pictures yet. Generated pictures are saved and listed here.")
    if not state.images:
        return message("No picture matches; try fewer words, or only the beginning of one.")
    first = PAGE_SIZE * (len(state.page_starts) - 1) + 1
    filtered = bool(state.search or state.favourites)
    return message(
        "{first:,} to {last:,} of {whole}, newest first.",
        first=first,
        last=first + len(state.images) - 1,
        whole=message("those that match") if filtered else count_text(state.folder.image_count),
    )
