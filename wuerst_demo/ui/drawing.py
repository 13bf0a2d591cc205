"""From what a visitor set to what the visitor sees: a request checked, run and told, step by step.

`draw` serves programs, `runs` the page; both tell a ticket's events through `watch`, so both give the same pictures
and the same sentences.

Does not know Gradio, nor who comes back to what.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from wuerst_demo.errors import Abandoned, Cancelled, StorageError, WuerstError
from wuerst_demo.events import Done, Event, Progress, Queued, Result
from wuerst_demo.request import Request
from wuerst_demo.ui.progress import Tally, kept, waiting
from wuerst_demo.ui.studio import Studio, Ticket

log = logging.getLogger(__name__)

State = Literal["waiting", "drawing", "done", "stopped", "refused", "failed"]
OUR_FAULT = "Something went wrong on our side; it is in the server's log. Try again, or with other settings."
AWAY = "The page was away for too long, so the drawing was stopped. What was finished is kept; draw the rest again."
_NO_PLACE = "The server has no place left for pictures; free some space on its disk and try again."
APART = 0.2
"""Seconds between two views of steps. A view costs a message to the browser, about 5 ms of a core."""
PULSE = 2.0
"""Seconds after which a view comes again though nothing is new, so that a face can notice that its visitor has gone."""
Clock = Callable[[], float]


@dataclass(frozen=True)
class Picture:
    """A finished picture: a PNG that carries `request`, which draws it alone. `seconds`: see `events.Result`."""

    image: int
    path: Path
    request: Request
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class View:
    """What there is to show at one moment. `pictures` are the finished ones, in the order of their numbers; `tally`
    says where the others stand, and `previews` how those look, by number, as encoded pictures."""

    state: State
    message: str
    fraction: float = 0.0
    request: Request | None = None
    pictures: tuple[Picture, ...] = ()
    seconds: float = 0.0
    tally: Tally | None = None
    previews: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.state not in ("waiting", "drawing")


BEGUN = View("waiting", "Waiting")
FAILED = View("failed", OUR_FAULT)


def draw(studio: Studio, values: Mapping[str, object], owner: str, clock: Clock = time.monotonic) -> Iterator[View]:
    """Views of one drawing, from untrusted `values` by field name; the last one is `over`.

    Never raises for a mistake of the visitor's or a fault of ours: both end in a view with a message. Finished
    pictures stay in the view whatever happens to the others. Closing it stops the drawing within a step; the files
    exist until it is closed or exhausted.
    """
    with ExitStack() as stack:
        try:
            request = studio.limits.request(values)
            folder = stack.enter_context(place())
            ticket = stack.enter_context(closing(studio.engine.submit(request, owner)))
            stack.callback(ticket.cancel)
        except WuerstError as error:
            yield refused(error)
            return
        except Exception:
            log.exception("A drawing could not begin.")
            yield FAILED
            return
        yield from watch(studio, ticket, replace(BEGUN, request=request), Path(folder), clock)


def refused(error: WuerstError, view: View = BEGUN) -> View:
    """The view of a drawing that ended, or never began, because of `error`."""
    if isinstance(error, Cancelled):
        message = AWAY if isinstance(error, Abandoned) else kept(len(view.pictures))
        return replace(view, state="stopped", message=message)
    return replace(view, state="refused", message=str(error))


def place() -> TemporaryDirectory[str]:
    """A folder for one run's files. StorageError where there is no place for one."""
    try:
        return TemporaryDirectory(prefix="wuerst-", ignore_cleanup_errors=True)
    except OSError as error:
        log.warning("No folder for pictures: %s", error)
        raise StorageError(_NO_PLACE) from error


def watch(studio: Studio, ticket: Ticket, view: View, folder: Path, clock: Clock) -> Iterator[View]:
    """`view`, and then one for whatever is new, until the ticket's end; the last one is over. Pictures that the view
    has already are not written again. A ticket that was closed by somebody else ends without a last view."""
    assert view.request is not None
    view = told = replace(view, tally=view.tally or Tally.start(view.request))
    yield told
    shown = clock()
    try:
        for event in ticket:
            view = _after(view, event, studio, folder)
            wait = PULSE if view == told else APART if _small(view, told) else 0.0
            if clock() - shown >= wait:
                yield (told := view)
                shown = clock()
    except WuerstError as error:
        yield refused(error, view)
    except Exception:
        log.exception("A drawing failed.")
        yield replace(view, state=FAILED.state, message=FAILED.message)


def _after(view: View, event: Event, studio: Studio, folder: Path) -> View:
    tally = view.tally
    assert tally is not None
    match event:
        case Queued():
            return replace(view, state="waiting", message=waiting(event))
        case Progress(image=image, preview=preview):
            previews = view.previews if preview is None else {**view.previews, image: preview}
            tally = tally.moved(event)
            view = replace(view, state="drawing", tally=tally, previews=previews)
        case Result(image=image):
            tally = tally.ended(image)
            view = replace(view, state="drawing", tally=tally, pictures=_with(view.pictures, event, studio, folder))
        case Done():
            return replace(view, state="done", message="Done", fraction=1.0, seconds=event.seconds)
    return replace(view, message=tally.sentence, fraction=tally.fraction)


def _small(view: View, before: View) -> bool:
    """Whether the difference is one of many steps, which need not all be seen."""
    if view.state != before.state or view.pictures != before.pictures or not view.tally or not before.tally:
        return False
    return [each.stage for each in view.tally.standing] == [each.stage for each in before.tally.standing]


def _with(pictures: tuple[Picture, ...], event: Result, studio: Studio, folder: Path) -> tuple[Picture, ...]:
    if any(each.image == event.image for each in pictures):
        return pictures
    path = written(studio, event, folder)
    notes = (*event.notes, *_in_history(studio, path))
    added = Picture(event.image, path, event.request, notes, dict(event.seconds))
    return tuple(sorted((*pictures, added), key=lambda each: each.image))


def written(studio: Studio, result: Result, folder: Path) -> Path:
    """Where the picture was written. A visitor need not know the server's folders, and cannot choose another."""
    try:
        return studio.save(result, folder)
    except StorageError as error:
        log.warning("A picture could not be kept: %s", error)
        raise StorageError(_NO_PLACE) from error


def _in_history(studio: Studio, path: Path) -> tuple[str, ...]:
    """Keep a finished picture where pictures are kept. Where that fails it is shown all the same, with a sentence."""
    if studio.history is None:
        return ()
    try:
        studio.history.keep(path)
    except StorageError as error:
        return (f"Not in the history: {error}",)
    return ()
