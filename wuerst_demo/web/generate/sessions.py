"""Generations of the page's clients, to which a reloaded or reconnected page re-attaches.

Each browser tab has at most one generation. The engine decides how long it goes on while no page follows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from wuerst_demo.events import Result
from wuerst_demo.request import Request
from wuerst_demo.web.context import AnyTicket, WebContext
from wuerst_demo.web.shared.generation import (
    ABANDONED_MESSAGE,
    KEPT_MESSAGE,
    MIDDLE_INDEX,
    WAITING_VIEW,
    FinishedImage,
    GenerationView,
    add_image,
    add_to_history,
    create_image_folder,
    follow_ticket,
    reattach,
    view_of_error,
)
from wuerst_demo.web.shared.progress import stopped_text
from wuerst_demo.web.shared.sessions import ClientTab, SessionStore
from wuerst_demo.web.shared.view import OPENED_ELSEWHERE_MESSAGE, Clock, ErrorCatcher

MAX_EARLIER_VIEWS = 6
"""Views that led to the present one and are kept with their images; the oldest go first."""
KEEP_LATER_MESSAGE = "Keep it when the pictures that are being generated are finished."


@dataclass(frozen=True)
class GenerationOptions:
    """How the page submitted a request, beyond its fields."""

    link: Mapping[str, object] = field(default_factory=dict)
    """Settings of the link by which the page had been opened."""
    new_seed: bool = False
    """Whether each generation was to have a new seed."""
    page: str = ""
    """The page that submitted it: a new name for each time it is loaded."""
    address: str = ""
    """Network address of the client; see `Engine.submit`."""


NO_OPTIONS = GenerationOptions()


@dataclass
class _Generation:
    ticket: AnyTicket | None
    """None once it is over: a ticket keeps the images in memory, and by then they are in files."""
    view: GenerationView
    options: GenerationOptions
    files: TemporaryDirectory[str] | None
    """None once the tab's next generation has taken it over."""
    seen_at: float
    stop: Callable[[], None]
    closed: bool = False

    @property
    def over(self) -> bool:
        return self.view.over

    @property
    def page(self) -> str:
        return self.options.page

    def close(self) -> None:
        self.stop()
        self.closed = True
        self.delete_files()

    def delete_files(self) -> None:
        if self.files:
            self.files.cleanup()


class GenerationSessions(SessionStore[_Generation]):
    """The generations of all clients. Thread-safe, as long as each browser tab is used by one client."""

    def __init__(self, context: WebContext, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._context = context

    def generate(
        self,
        client: ClientTab,
        values: Mapping[str, object],
        options: GenerationOptions = NO_OPTIONS,
        middle: FinishedImage | None = None,
    ) -> Iterator[GenerationView]:
        """Views of a new generation, as `generate_views` gives them, but closing the iterator does not cancel it.

        A rejected request leaves the previous generation of the tab where it was. One that goes on from an image of the
        tab keeps the views that led there. With `middle`, the new images are shown as neighbors of that one.
        """
        previous = self.find(client)
        with ErrorCatcher() as caught:
            request = self._context.limits.request(values)
            trail = _find_trail(previous.view, request) if previous and previous.files else ()
            files = previous.files if previous and trail else create_image_folder()
            ticket = self._context.engine.submit(request, client.owner, address=options.address)
        if caught.error:
            yield view_of_error(caught.error)
            return
        stop = partial(self._context.engine.cancel, ticket.id, client.owner)
        view = replace(WAITING_VIEW, request=request)
        if middle:
            view = replace(view, middle=replace(middle, index=MIDDLE_INDEX))
        if previous and trail:
            view = replace(view, before=trail)
            previous.files = None
            _delete_unneeded_files(previous.view, trail)
        generation = _Generation(ticket, view, options, files, self._clock(), stop)
        self.add(client, generation)
        yield from self._follow(generation, ticket)

    def keep(self, client: ClientTab, result: Result, page: str) -> GenerationView:
        """Adds a live picture to the tab's finished images; its view from then on, or why that is not possible."""
        generation = self.find(client)
        if generation is None:
            with ErrorCatcher() as caught:
                files = create_image_folder()
            if caught.error:
                return view_of_error(caught.error)
            view = replace(WAITING_VIEW, state="done", request=result.request)
            generation = _Generation(None, view, GenerationOptions(page=page), files, self._clock(), lambda: None)
            self.add(client, generation)
        elif not generation.over:
            return GenerationView("rejected", KEEP_LATER_MESSAGE)
        shown = generation.view.shown_images
        result = replace(result, index=1 + max((each.index for each in shown), default=-1))
        with ErrorCatcher() as caught:
            assert generation.files
            images = add_image(shown, result, self._context, Path(generation.files.name))
            images = (*images[:-1], add_to_history(self._context, images[-1]))
        if caught.error:
            return view_of_error(caught.error)
        kept = replace(generation.view, state="done", message=KEPT_MESSAGE, images=images, middle=None, before=())
        generation.view = kept
        generation.seen_at = self._clock()
        return generation.view

    def options(self, client: ClientTab) -> GenerationOptions | None:
        """How the tab's generation was submitted; None without one."""
        generation = self.find(client)
        return generation.options if generation else None

    def view(self, client: ClientTab) -> GenerationView | None:
        """The newest view of the tab's generation; None without one."""
        generation = self.find(client)
        return generation.view if generation else None

    def go_back(self, client: ClientTab, position: int) -> GenerationView | None:
        """Shows the view at `position` of those that led to the tab's neighbors; None where there is none."""
        generation = self.find(client)
        if generation is None or not generation.over or not 0 <= position < len(generation.view.before):
            return None
        before = generation.view.before
        generation.view = replace(before[position], before=before[:position])
        generation.seen_at = self._clock()
        return generation.view

    def resume(self, client: ClientTab, page: str = "") -> Iterator[GenerationView]:
        """Views of the tab's generation from its present state; none without one, or if `page` itself submitted it.

        An earlier reader, such as a lost connection of the same tab, gets OPENED_ELSEWHERE_MESSAGE and no more views.
        """
        generation = self.find(client, page)
        if generation is None:
            return
        generation.seen_at = self._clock()
        if not generation.over and generation.ticket is not None:
            ticket = reattach(self._context.engine, generation.ticket, client.owner)
            if ticket is not None:
                generation.ticket = ticket
                yield from self._follow(generation, ticket)
                return
            generation.view = replace(generation.view, state="stopped", message=ABANDONED_MESSAGE)
        yield generation.view

    def _follow(self, generation: _Generation, ticket: AnyTicket) -> Iterator[GenerationView]:
        view = generation.view
        assert generation.files
        views = follow_ticket(self._context, ticket, view, Path(generation.files.name), self._clock)
        with closing(ticket), closing(views):
            for newer in views:
                if generation.ticket is ticket:
                    view = generation.view = newer
                    generation.seen_at = self._clock()
                    yield view
        if generation.closed:  # an image written meanwhile has made the folder again
            generation.delete_files()
        if generation.ticket is not ticket:
            yield replace(view, state="stopped", message=OPENED_ELSEWHERE_MESSAGE)
        elif generation.over:
            generation.ticket = None


def _find_trail(view: GenerationView, request: Request) -> tuple[GenerationView, ...]:
    """The views that led to the image that `request` goes on from, the last one with that image: of `view` and those
    before it; none for an image of none of them."""
    if request.variation is None:
        return ()
    source = request.variation.image_embeddings
    if not view.over:
        view = replace(view, state="stopped", message=stopped_text(len(view.images)))
    views = (*view.before, replace(view, before=(), previews={}, progress=None))
    while views and not any(image.image_embeddings == source for image in views[-1].shown_images):
        views = views[:-1]
    return views[-MAX_EARLIER_VIEWS:]


def _delete_unneeded_files(view: GenerationView, kept: Sequence[GenerationView]) -> None:
    """Delete the image files of `view` and those before it that `kept` does not show."""
    needed = {image.path for each in kept for image in each.shown_images}
    for each in (*view.before, view):
        for image in each.shown_images:
            if image.path not in needed:
                image.path.unlink(missing_ok=True)
