"""Runs of one request as a stream of views: validation, submission, events, finished image files.

`generate_views` serves the API; the page's `GenerationSessions` adds re-attaching. Both follow a ticket through
`follow_ticket`, so both give the same images and messages.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from wuerst_demo.errors import Abandoned, Cancelled, StorageError, UserError
from wuerst_demo.events import Done, Event, Moved, Progress, Queued, Result
from wuerst_demo.messages import message
from wuerst_demo.request import Request
from wuerst_demo.web.context import AnyEngine, AnyTicket, WebContext
from wuerst_demo.web.shared.progress import ProgressTracker, queue_text, stopped_text
from wuerst_demo.web.shared.temp_folders import create_temp_folder
from wuerst_demo.web.shared.view import MIN_VIEW_INTERVAL_S, Clock, ErrorCatcher, View, end_with_error

log = logging.getLogger(__name__)

ABANDONED_MESSAGE = (
    "Stopped, because the page was closed for too long. Finished pictures are kept; generate the others again."
)
_DISK_FULL_MESSAGE = "The server has no disk space left for pictures; free some space and try again."
KEPT_MESSAGE = "Kept among the pictures."
"""Of a view whose last picture was a live one."""
MIDDLE_INDEX = -1
"""Index of an image among its neighbors, which count from 0."""
HEARTBEAT_INTERVAL_S = 2.0
"""Time after which an unchanged view is repeated, so that a closed connection is noticed."""


@dataclass(frozen=True)
class FinishedImage:
    """A finished image file."""

    index: int
    """Number of the image in its request, from 0."""
    path: Path
    """PNG file that carries `request`."""
    request: Request
    """Generates this image alone."""
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    """See `events.Result`."""
    image_embeddings: str = ""
    """See `events.Result`."""


def selected_image(images: Sequence[FinishedImage], position: object) -> FinishedImage:
    """The image at `position` of at least one; the first where there is none at that position."""
    return images[position if isinstance(position, int) and 0 <= position < len(images) else 0]


@dataclass(frozen=True)
class GenerationView(View):
    """View of one request."""

    request: Request | None = None
    images: tuple[FinishedImage, ...] = ()
    """Finished images in the order of their index."""
    seconds: float = 0.0
    """Duration of the whole request, once it is done."""
    progress: ProgressTracker | None = None
    previews: Mapping[int, bytes] = field(default_factory=dict)
    """Newest preview of unfinished images, by index, as encoded image."""
    animation: Path | None = None
    """WebP file that plays the images of a morph, once all are finished."""
    middle: FinishedImage | None = None
    """The image whose neighbors `images` are, with MIDDLE_INDEX; None for any other request."""
    before: tuple[GenerationView, ...] = ()
    """The views that led to the image it goes on from, of which each may be shown again."""

    @property
    def shown_images(self) -> tuple[FinishedImage, ...]:
        """The finished images, after the one whose neighbors they are."""
        return (self.middle, *self.images) if self.middle else self.images


WAITING_VIEW = GenerationView("waiting", "Waiting")


def generate_views(
    context: WebContext,
    values: Mapping[str, object],
    session: str,
    clock: Clock = time.monotonic,
    address: str = "",
) -> Iterator[GenerationView]:
    """Views of a new request from untrusted `values` by field name; the last one is `over`.

    Never raises: an error ends in a view with a message, which keeps the images finished so far. Closing the iterator
    cancels the request within a step. The files exist until the iterator is closed or exhausted.
    """
    with ExitStack() as stack:
        with ErrorCatcher() as caught:
            request = context.limits.request(values)
            folder = stack.enter_context(create_image_folder())
            ticket = stack.enter_context(closing(context.engine.submit(request, session, address=address)))
            stack.callback(ticket.cancel)
        if caught.error:
            yield view_of_error(caught.error)
            return
        yield from follow_ticket(context, ticket, replace(WAITING_VIEW, request=request), Path(folder), clock)


def view_of_error(error: Exception, view: GenerationView = WAITING_VIEW) -> GenerationView:
    """The view of a request that an error has ended or rejected."""
    if isinstance(error, Cancelled):
        message = ABANDONED_MESSAGE if isinstance(error, Abandoned) else stopped_text(len(view.images))
        return replace(view, state="stopped", message=message)
    return end_with_error(view, error)


def create_image_folder() -> TemporaryDirectory[str]:
    """A temporary folder for the files of one job. Raises StorageError."""
    try:
        return create_temp_folder("images-")
    except OSError as error:
        log.warning("No folder for images: %s", error)
        raise StorageError(_DISK_FULL_MESSAGE) from error


def reattach(engine: AnyEngine, ticket: AnyTicket, session: str) -> AnyTicket | None:
    """A new ticket of the same request for a new reader; the old one is closed. None if the engine has forgotten it."""
    ticket.close()
    try:
        return engine.attach(ticket.id, session)
    except UserError:
        return None


def follow_ticket(
    context: WebContext, ticket: AnyTicket, view: GenerationView, folder: Path, clock: Clock
) -> Generator[GenerationView]:
    """`view` and its successors until the ticket ends; the last one is `over`.

    Images that `view` already has are not written again. The others are in the history once their view has been taken:
    nobody waits for that. A ticket closed by another reader ends without a last view.
    """
    request = view.request
    assert request is not None
    view = shown = replace(view, progress=view.progress or ProgressTracker.start(request))
    in_history = {each.index for each in view.images}
    yield shown
    shown_at = clock()
    with ErrorCatcher() as caught:
        for event in ticket:
            view = _apply_event(view, event, context, folder)
            if isinstance(event, Result) and len(view.images) == request.images:
                continue  # Done comes at once, and both are shown in one view
            if view == shown:
                interval = HEARTBEAT_INTERVAL_S
            else:
                interval = MIN_VIEW_INTERVAL_S if _is_progress(view, shown) else 0.0
            if clock() - shown_at >= interval:
                shown = view
                view = yield from _show_and_keep(view, context, in_history)
                shown_at = clock()
    if caught.error:
        view = view_of_error(caught.error, view)
    if view.over and view != shown:
        yield from _show_and_keep(view, context, in_history)


def _show_and_keep(
    view: GenerationView, context: WebContext, in_history: set[int]
) -> Generator[GenerationView, None, GenerationView]:
    """`view`, whose images are then copied into the history, and those noted that could not be."""
    images = view.images
    try:
        yield view
    finally:
        in_history.update(each.index for each in images if _is_end(each, view.request))
        images = tuple(each if each.index in in_history else add_to_history(context, each) for each in images)
        in_history.update(each.index for each in images)
    return replace(view, images=images)


def _is_end(image: FinishedImage, request: Request | None) -> bool:
    """Whether an image is one of the two pictures of a morph, which were there before."""
    return request is not None and request.morph is not None and image.request.morph is None


def _apply_event(view: GenerationView, event: Event, context: WebContext, folder: Path) -> GenerationView:
    progress = view.progress
    assert progress is not None
    match event:
        case Queued():
            return replace(view, state="waiting", message=queue_text(event))
        case Progress(index=index, preview=preview):
            previews = view.previews if preview is None else {**view.previews, index: preview}
            progress = progress.update(event)
            view = replace(view, state="running", progress=progress, previews=previews)
        case Moved(index=index):
            progress = progress.update(event)
            previews = {k: preview for k, preview in view.previews.items() if k != index}
            view = replace(view, state="running", progress=progress, previews=previews)
        case Result(index=index):
            progress = progress.finish(index)
            images = add_image(view.images, event, context, folder)
            animation = _save_animation(images, context, view.request, folder)
            view = replace(view, state="running", progress=progress, images=images, animation=animation)
        case Done():
            return replace(view, state="done", message="Done", fraction=1.0, seconds=event.seconds)
    return replace(view, message=progress.text, fraction=progress.fraction)


def _is_progress(view: GenerationView, before: GenerationView) -> bool:
    """Whether the views differ in steps and stages only, which need not all be shown: the newest is repeated."""
    return not view.over and view.images == before.images


def add_image(
    images: tuple[FinishedImage, ...], result: Result, context: WebContext, folder: Path
) -> tuple[FinishedImage, ...]:
    """The images with that of `result`, written to `folder` unless it is among them. Raises StorageError."""
    if any(each.index == result.index for each in images):
        return images
    path, notes = save_image(context, result, folder), result.notes
    added = FinishedImage(result.index, path, result.request, notes, dict(result.seconds), result.image_embeddings)
    return tuple(sorted((*images, added), key=lambda each: each.index))


def save_image(context: WebContext, result: Result, folder: Path) -> Path:
    """The path of the written image. StorageError names no folder of the server, which the user cannot change."""
    with _hidden_folder():
        return context.save_image(result, folder)


def _save_animation(
    images: Sequence[FinishedImage], context: WebContext, request: Request | None, folder: Path
) -> Path | None:
    """The path of a morph's animation, once all its images are finished. Raises StorageError."""
    if request is None or request.morph is None or request.morph.frame is not None or len(images) < request.images:
        return None
    with _hidden_folder():
        frames = [Image.open(each.path) for each in images]
        return context.save_animation(frames, request, folder)


@contextmanager
def _hidden_folder() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        log.warning("A file could not be saved: %s", error)
        raise StorageError(_DISK_FULL_MESSAGE) from error


def add_to_history(context: WebContext, image: FinishedImage) -> FinishedImage:
    """The image, whose file has been copied into the history, if there is one. An error becomes a note."""
    if context.history is None:
        return image
    try:
        context.history.add(image.path)
    except StorageError as error:
        note = message("Not in the history: {reason}", reason=error.message)
        return replace(image, notes=(*image.notes, note))
    return image
