"""What a visitor sees of the history, and how it changes: pages turned, searched, a picture opened, marked, deleted.

Every change is a function from one shelf to the next. Does not know Gradio.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html import escape

from wuerst_demo.history.history import PAGE, Held, History, Kept
from wuerst_demo.history.index import LAST


@dataclass(frozen=True)
class Shelf:
    """What one tab shows. `trail` says where each page down to this one begins; `chosen` is the open one."""

    held: Held = field(default_factory=lambda: Held(0, 0))
    search: str = ""
    favourites: bool = False
    trail: tuple[int, ...] = (LAST,)
    pictures: tuple[Kept, ...] = ()
    older: int | None = None
    chosen: Kept | None = None
    sure: bool = False
    """Whether Delete was pressed once."""


def opened(history: History, shelf: Shelf) -> Shelf:
    """The shelf with what the folder holds now, on its first page."""
    return turned(history, replace(shelf, held=history.look()), (LAST,))


def sought(history: History, shelf: Shelf, search: object, favourites: object) -> Shelf:
    wanted = replace(shelf, search=str(search or ""), favourites=bool(favourites))
    return turned(history, wanted, (LAST,))


def turned(history: History, shelf: Shelf, trail: tuple[int, ...]) -> Shelf:
    """The shelf's page that begins where `trail` ends."""
    page = history.page(shelf.search, shelf.favourites, trail[-1])
    if not page.pictures and len(trail) > 1:  # the last one of a page was deleted
        return turned(history, shelf, trail[:-1])
    return replace(shelf, trail=trail, pictures=page.pictures, older=page.older, chosen=None, sure=False)


def marked(history: History, shelf: Shelf) -> Shelf:
    if shelf.chosen is None:
        return shelf
    now = history.mark(shelf.chosen.id, not shelf.chosen.favourite)
    return replace(shelf, chosen=now, pictures=tuple(now if each.id == now.id else each for each in shelf.pictures))


def deleted(history: History, shelf: Shelf) -> Shelf:
    """The shelf without the chosen picture, at the second time of asking."""
    if shelf.chosen is None or not shelf.sure:
        return replace(shelf, sure=shelf.chosen is not None)
    history.delete(shelf.chosen.id)
    held = replace(shelf.held, pictures=max(0, shelf.held.pictures - 1))
    return turned(history, replace(shelf, held=held), shelf.trail)


def chosen(history: History, shelf: Shelf, at: object) -> Shelf:
    """The shelf with its picture number `at` open, or none."""
    picked = shelf.pictures[at] if isinstance(at, int) and 0 <= at < len(shelf.pictures) else None
    return replace(shelf, chosen=picked and history.picture(picked.id), sure=False)


def older(history: History, shelf: Shelf) -> Shelf:
    return shelf if shelf.older is None else turned(history, shelf, (*shelf.trail, shelf.older))


def newer(history: History, shelf: Shelf) -> Shelf:
    return turned(history, shelf, shelf.trail[:-1] or shelf.trail)


def spared(history: History, shelf: Shelf) -> Shelf:
    """The shelf whose picture is not deleted after all."""
    return replace(shelf, sure=False)


def closed(history: History, shelf: Shelf) -> Shelf:
    return replace(shelf, chosen=None, sure=False)


def said(shelf: Shelf, trouble: str = "") -> str:
    """What there is, in words."""
    count = {0: "No picture", 1: "1 picture"}.get(shelf.held.pictures, f"{shelf.held.pictures:,} pictures")
    others = {0: "", 1: " One other PNG file there is left alone."}.get(
        shelf.held.others, f" {shelf.held.others:,} other PNG files there are left alone."
    )
    if not shelf.held.pictures:
        line = "No pictures yet: whatever is drawn here is kept, and found again here."
    elif not shelf.pictures:
        line = "No picture matches; try fewer words, or only the beginning of one."
    else:
        first = PAGE * (len(shelf.trail) - 1) + 1
        whole = "those that match" if shelf.search or shelf.favourites else count
        line = f"{first:,} to {first + len(shelf.pictures) - 1:,} of {whole}, newest first."
    notice = "".join(
        f'<p class="trouble" role="alert">{escape(each)}</p>' for each in (trouble, shelf.held.notice) if each
    )
    return f'<p role="status">{escape(line + others)}</p>{notice}'
