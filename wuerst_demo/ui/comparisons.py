"""The comparisons of the page's visitors, from which they may go away and come back: at most one a seat.

Does not know Gradio, nor how a comparison goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from wuerst_demo.errors import WuerstError
from wuerst_demo.ui.comparing import Asked, Board, Comparison
from wuerst_demo.ui.drawing import OUR_FAULT, Clock
from wuerst_demo.ui.seats import Seat, Seats
from wuerst_demo.ui.studio import Studio

log = logging.getLogger(__name__)


class Comparisons:
    """Everybody's comparisons. Several threads may use one; each seat is used by one person."""

    def __init__(self, studio: Studio, clock: Clock = time.monotonic) -> None:
        self._studio = studio
        self._clock = clock
        self._seats: Seats[Comparison] = Seats(clock)

    def compare(self, seat: Seat, asked: Asked, page: str = "") -> Iterator[Board]:
        """Boards of a new comparison on this seat, begun on this page, as `Comparison.follow` gives them. What is
        refused leaves the seat's last one where it was.

        Never raises for a mistake of the visitor's or a fault of ours: both end in a board with a message.
        """
        try:
            begun = Comparison(self._studio, asked, seat.owner, self._clock, page)
        except WuerstError as error:
            yield Board("refused", str(error))
            return
        except Exception:
            log.exception("A comparison could not begin.")
            yield Board("failed", OUR_FAULT)
            return
        self._seats.take(seat, begun)
        yield from begun.follow()

    def find(self, seat: Seat, page: str = "") -> Comparison | None:
        """The comparison on this seat, to be followed again; None where there is none, or `page` has begun it."""
        return self._seats.left(seat, page)

    def stop(self, seat: Seat) -> None:
        """Stops the comparison on this seat within a step; who follows it hears so. None there: no effect."""
        if begun := self._seats.find(seat):
            begun.stop()
