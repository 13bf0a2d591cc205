"""From what a visitor set to what the visitor sees: a request checked, run and told, step by step.

`draw` is the one way in for the page and for the web API, so both give the same pictures and the same sentences.
It is a generator: closing it, which Stop and a closed tab do, stops the engine within a step.

Does not know Gradio.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from wuerst_demo.errors import StorageError, WuerstError
from wuerst_demo.events import Done, Event, Progress, Queued, Result
from wuerst_demo.request import Request
from wuerst_demo.ui.progress import Tally, waiting
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)

State = Literal["waiting", "drawing", "done", "refused", "failed"]
OUR_FAULT = "Something went wrong on our side; it is in the server's log. Try again, or with other settings."
_NO_PLACE = "The server has no place left for pictures; free some space on its disk and try again."
APART = 0.1
"""Seconds between two views of steps. A view costs a message to the browser, about 5 ms of a core."""


@dataclass(frozen=True)
class Picture:
    """A finished picture: a PNG that carries `request`, which draws it alone."""

    image: int
    path: Path
    request: Request
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """What there is to show at one moment. `pictures` are the finished ones, in the order of their numbers.

    The files exist until the generator that yielded the view is closed or exhausted.
    """

    state: State
    message: str
    fraction: float = 0.0
    request: Request | None = None
    pictures: tuple[Picture, ...] = ()
    seconds: float = 0.0

    @property
    def over(self) -> bool:
        return self.state in ("done", "refused", "failed")


def draw(
    studio: Studio, values: Mapping[str, object], session: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[View]:
    """Views of one drawing, from untrusted `values` by field name; the last one is `over`.

    Never raises for a mistake of the visitor's or a fault of ours: both end in a view with a message. Finished
    pictures stay in the view whatever happens to the others.
    """
    view = View("waiting", "Waiting")
    with ExitStack() as stack:
        try:
            request = studio.limits.request(values)
            view = replace(view, request=request)
            yield view
            folder = Path(stack.enter_context(_folder()))
            ticket = stack.enter_context(closing(studio.engine.submit(request, session)))
            for seen in _views(view, Tally.start(request), ticket, studio, folder, clock):
                view = seen
                yield view
        except WuerstError as error:
            yield replace(view, state="refused", message=str(error))
        except Exception:
            log.exception("A drawing failed.")
            yield replace(view, state="failed", message=OUR_FAULT)


@contextmanager
def _folder() -> Iterator[str]:
    """A folder for one run's files. StorageError where there is no place for one."""
    try:
        made = TemporaryDirectory(prefix="wuerst-", ignore_cleanup_errors=True)
    except OSError as error:
        log.warning("No folder for pictures: %s", error)
        raise StorageError(_NO_PLACE) from error
    with made as folder:
        yield folder


def _views(
    view: View, tally: Tally, events: Iterable[Event], studio: Studio, folder: Path, clock: Callable[[], float]
) -> Iterator[View]:
    shown = float("-inf")
    for event in events:
        match event:
            case Queued():
                view = replace(view, state="waiting", message=waiting(event))
            case Progress():
                changed = view.state != "drawing" or event.stage != tally.standing[event.image].stage
                tally = tally.moved(event)
                view = replace(view, state="drawing", message=tally.sentence, fraction=tally.fraction)
                if not changed and clock() - shown < APART:
                    continue
            case Result():
                tally = tally.ended(event.image)
                picture = Picture(event.image, _kept(studio, event, folder), event.request, event.notes)
                pictures = tuple(sorted((*view.pictures, picture), key=lambda each: each.image))
                view = replace(view, message=tally.sentence, fraction=tally.fraction, pictures=pictures)
            case Done():
                view = replace(view, state="done", message="Done", fraction=1.0, seconds=event.seconds)
        yield view
        shown = clock()


def _kept(studio: Studio, result: Result, folder: Path) -> Path:
    """Where the picture was written. A visitor need not know the server's folders, and cannot choose another."""
    try:
        return studio.save(result, folder)
    except StorageError as error:
        log.warning("A picture could not be kept: %s", error)
        raise StorageError(_NO_PLACE) from error
