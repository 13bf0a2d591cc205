"""From a picture that was drawn to what its three stages saw: the picture drawn once more, its steps kept this time.

Keeping them costs memory, so it is done for the one picture that somebody asks about, and nothing of it stays on the
server: what there is to show goes out with the last glimpse. `explain` is a generator; closing it stops the drawing.

Does not know Gradio, or how the steps are shown.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass

from wuerst_demo.errors import UserError, WuerstError
from wuerst_demo.events import Progress, Queued, Result
from wuerst_demo.request import Request
from wuerst_demo.ui.drawing import APART, OUR_FAULT, Clock, State
from wuerst_demo.ui.progress import Tally, waiting
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)
NO_STEPS = "This server cannot keep the steps of a drawing, so there is nothing to show here."


@dataclass(frozen=True)
class Glimpse:
    """How far it is. `result`, with its stages, comes with the last one where all went well."""

    state: State
    message: str
    fraction: float = 0.0
    result: Result | None = None

    @property
    def over(self) -> bool:
        return self.state not in ("waiting", "drawing")


def explain(studio: Studio, request: Request, owner: str, clock: Clock = time.monotonic) -> Generator[Glimpse]:
    """Draws `request`, of one image, once more; the last glimpse is over. Never raises for a fault of anybody's."""
    result, tally, shown = None, Tally.start(request), float("-inf")
    with ExitStack() as stack:
        try:
            ticket = stack.enter_context(closing(studio.engine.submit(request, owner, True)))
            stack.callback(ticket.cancel)
            for event in ticket:
                match event:
                    case Queued():
                        yield Glimpse("waiting", waiting(event))
                    case Progress():
                        tally = tally.moved(event)
                        if clock() - shown >= APART:
                            yield Glimpse("drawing", tally.sentence, tally.fraction)
                            shown = clock()
                    case Result():
                        result = event
            if result is None or result.stages is None:
                raise UserError(NO_STEPS)
            yield Glimpse("done", "Done", 1.0, result)
        except WuerstError as error:
            yield Glimpse("refused", str(error))
        except Exception:
            log.exception("A picture could not be explained.")
            yield Glimpse("failed", OUR_FAULT)
