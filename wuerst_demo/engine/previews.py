"""Which rows are shown on their way, and how often: previews within a share of the device's time.

Does not know how a preview is made, nor who looks at it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Generic

from wuerst_demo.engine.rows import Cascade, R
from wuerst_demo.errors import DeviceLost

log = logging.getLogger(__name__)

A_SECOND = 10
"""How many previews of one request there are in any second, at most."""
SHARE = 0.02
"""How much of the time that steps take may be spent on previews."""
AHEAD = 0.02
"""Seconds that may be saved up, and that one batch of previews may take before they have been earned."""


def apart(images: int) -> float:
    """Seconds between two previews of one image, of so many in its request, that keep to A_SECOND."""
    return 1 / max(1, A_SECOND // images)


class Previews(Generic[R]):
    """Asks the cascade for previews after a step, as far as their time allows."""

    def __init__(self, cascade: Cascade[R], clock: Callable[[], float]) -> None:
        self._cascade = cascade
        self._clock = clock
        self._left = AHEAD
        self._cost = 0.0
        self._broken = False

    def after(self, rows: Sequence[R], due: Sequence[float], seconds: float) -> list[bytes | None]:
        """The previews of rows after a step that took `seconds`; None for those that are not to have one now.

        `due` says from when on, by the clock, each row is to have its next one; those who wait longest come first.
        """
        self._left = min(self._left + SHARE * seconds, AHEAD)
        made: list[bytes | None] = [None] * len(rows)
        start = self._clock()
        if self._broken or self._left < 0:
            return made
        waiting = sorted((i for i in range(len(rows)) if due[i] <= start), key=lambda i: due[i])
        if self._cost:
            waiting = waiting[: max(1, int((self._left + AHEAD) / self._cost))]
        if not waiting:
            return made
        try:
            for i, preview in zip(waiting, self._cascade.previews([rows[i] for i in waiting]), strict=True):
                made[i] = preview
        except MemoryError:
            pass  # a later step may leave more room; nobody's picture depends on it
        except DeviceLost:
            raise
        except Exception:
            log.exception("Previews failed; there will be none until the program starts again.")
            self._broken = True
        spent = self._clock() - start
        self._cost = spent / len(waiting)
        self._left -= spent
        return made
