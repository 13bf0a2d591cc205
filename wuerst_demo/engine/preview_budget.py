"""Budget for previews of images in progress: a share of the device's time, and a number a second."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Generic

from wuerst_demo.engine.interface import Pipeline, StateT
from wuerst_demo.errors import DeviceLost

log = logging.getLogger(__name__)

MAX_PREVIEWS_PER_S = 10
"""Previews of one request a second, all its images together."""
MAX_PREVIEW_TIME_SHARE = 0.02
"""Time for previews as a share of the time for steps."""
MAX_PREVIEW_ADVANCE_S = 0.02
"""Unused time that can be saved up, and time that one batch of previews may take before it was earned."""


def preview_interval_s(images: int) -> float:
    """Seconds between two previews of one image of a request with so many images."""
    return 1 / max(1, MAX_PREVIEWS_PER_S // images)


class PreviewBudget(Generic[StateT]):
    """Makes previews after a step as far as the budget allows. An unexpected error switches them off."""

    def __init__(self, pipeline: Pipeline[StateT], clock: Callable[[], float]) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._budget_s = MAX_PREVIEW_ADVANCE_S
        self._cost_s = 0.0
        self._broken = False

    def make_previews(self, images: Sequence[StateT], due_at: Sequence[float], step_s: float) -> list[bytes | None]:
        """Previews of images after a step of `step_s` seconds; None where there is none this time.

        `due_at` is the time from which each image should have its next preview; the longest overdue come first.
        """
        self._budget_s = min(self._budget_s + MAX_PREVIEW_TIME_SHARE * step_s, MAX_PREVIEW_ADVANCE_S)
        previews: list[bytes | None] = [None] * len(images)
        start = self._clock()
        if self._broken or self._budget_s < 0:
            return previews
        due = sorted((i for i in range(len(images)) if due_at[i] <= start), key=lambda i: due_at[i])
        if self._cost_s:
            due = due[: max(1, int((self._budget_s + MAX_PREVIEW_ADVANCE_S) / self._cost_s))]
        if not due:
            return previews
        try:
            for i, preview in zip(due, self._pipeline.render_previews([images[i] for i in due]), strict=True):
                previews[i] = preview
        except MemoryError:
            pass  # a later step may leave more room, and no image depends on its preview
        except DeviceLost:
            raise
        except Exception:
            log.exception("Previews failed; there will be none until the program is restarted.")
            self._broken = True
        spent_s = self._clock() - start
        self._cost_s = spent_s / len(due)
        self._budget_s -= spent_s
        return previews
