"""State of one request on one device, between its submission and its end: its images and their progress.

Not thread-safe: every change is made under the engine's lock, which is the lock of `changed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import TYPE_CHECKING, Generic

from wuerst_demo.engine.interface import StateT
from wuerst_demo.engine.observer import WorkStage
from wuerst_demo.engine.steps import ImageProgress
from wuerst_demo.engine.tracked_request import TrackedRequest
from wuerst_demo.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from wuerst_demo.request import Request


MAX_MEMORY_WAITS = 3
"""Waits for other requests' memory that do not help, after which a request is considered too large."""
ETA_INTERVAL_S = 0.1
"""Seconds between two estimates of a request's remaining time, which is counted down in between."""


@dataclass(eq=False, slots=True)
class WorkItem(Generic[StateT]):
    """Unit of work for the scheduler, see `scheduler.Schedulable`."""

    request: RequestState[StateT]
    image: ImageProgress[StateT] | None
    """Image to advance by one step; None for encoding the prompt."""
    rank: tuple[int, ...]
    key: Hashable
    max_batch_size: int

    @property
    def session(self) -> str:
        return self.request.session

    @property
    def address(self) -> str:
        return self.request.address

    @property
    def live(self) -> bool:
        return self.request.live

    @property
    def stage(self) -> WorkStage:
        return "text" if self.image is None else self.image.state.stage

    @property
    def size(self) -> Hashable:
        return self.request.request.width, self.request.request.height

    @property
    def steps_left(self) -> int:
        return 1 if self.image is None else self.image.state.total_steps - self.image.state.step


class RequestState(TrackedRequest, Generic[StateT]):
    """One request in the engine."""

    def __init__(
        self,
        request: Request,
        session: str,
        number: int,
        changed: Condition,
        submitted_at: float = 0.0,
        keep_latents: bool = False,
        slowdown: float = 1.0,
        live: bool = False,
        address: str = "",
    ) -> None:
        super().__init__(request, session, number, changed, submitted_at, live, address)
        self.slowdown = slowdown
        """Expected duration divided by the duration with the device to itself."""
        self._keep_latents = keep_latents
        self._eta: tuple[float, float | None] = (float("-inf"), None)  # when it was estimated, and the seconds
        self._images: dict[int, ImageProgress[StateT]] = {}
        self._blockers: Sequence[RequestState[StateT]] = ()
        self._memory_waits = 0

    @property
    def images(self) -> list[StateT]:
        """States of its unfinished images; empty before the prompt is encoded."""
        return [image.state for image in self._images.values()]

    @property
    def stage_counts(self) -> Counter[str]:
        """Number of unfinished images by stage; "waiting" before the prompt is encoded."""
        if self.started_at is None:
            return Counter(waiting=0 if self.over else self.request.images)
        return Counter(state.stage for state in self.images)

    # ---------------------------------------------------------------------------------------------------------- work

    def work_items(self, max_batch_size: Callable[[StateT], int]) -> list[WorkItem[StateT]]:
        """Work that can be done next. Prompts rank before images, so that these share more steps; images that
        may have made a batch fail go alone."""
        if self.over or self.blocked:
            return []
        if self.started_at is None:
            return [WorkItem(self, None, (0, self.number), (self.number,), 1)]
        items = []
        for number, image in self._images.items():
            alone, state = image.goes_alone, image.state
            key, size = ((self.number, number), 1) if alone else (state.key, max_batch_size(state))
            items.append(WorkItem(self, image, (1, self.number, number), key, size))
        return items

    def start(self, states: Sequence[StateT], seconds: float, now: float) -> None:
        """The prompt was encoded in `seconds`, which gave the states of the images."""
        if self.over:
            return
        self.started_at, self.advanced_at = now - seconds, now
        self._images = {state.index: ImageProgress(state, self.request.images, self._keep_latents) for state in states}
        for image in self._images.values():
            image.add_time("text", seconds)
            if self.live:
                image.preview_due_at = float("inf")  # the picture itself is there sooner
        self._end_if_finished(now)

    def add_step(self, image: ImageProgress[StateT], state: StateT | UserError, seconds: float, now: float) -> None:
        """An evaluation of `seconds` gave this state of `image`, or the reason why it has failed; the other images go
        on then. `report_step` tells the reader."""
        if self.over:
            return
        self._count_step(image, seconds, now)
        if isinstance(state, UserError):
            self._failures.append(state)
            del self._images[image.number]
            self._end_if_finished(now)
        else:
            image.state = state

    def report_step(
        self, image: ImageProgress[StateT], before: StateT, now: float, estimate: Callable[[], float | None]
    ) -> None:
        """Adds the Progress of a step from the state `before`, unless the image has failed. `estimate` gives the
        request's remaining seconds; it is called every ETA_INTERVAL_S at most."""
        if image.number not in self._images:
            return
        estimated_at, remaining_s = self._eta
        if now - estimated_at >= ETA_INTERVAL_S:
            estimated_at, remaining_s = self._eta = now, estimate()
        left_s = None if remaining_s is None else max(0.0, remaining_s - (now - estimated_at))
        self.put(image.to_progress(before, left_s))

    def add_picture(
        self,
        image: ImageProgress[StateT],
        picture: Image | UserError,
        seconds: float,
        now: float,
        estimate: Callable[[], float | None],
    ) -> None:
        """Decoding of `seconds` gave this picture of `image`, or the reason why it has failed; `estimate` gives the
        request's remaining seconds then."""
        if self.over or self.started_at is None:
            return
        self._count_step(image, seconds, now)
        del self._images[image.number]
        self.put(image.to_progress(image.state, estimate()))
        if isinstance(picture, UserError):
            self._failures.append(picture)
        else:
            self.first_image_at = now if self.first_image_at is None else self.first_image_at
            self.put(image.to_result(picture, now - self.started_at))
        self._end_if_finished(now)

    def fail_alone(self, image: ImageProgress[StateT], error: UserError, now: float) -> None:
        """The image was in a batch that failed. It is retried alone; if it was alone already, the request fails."""
        if image.goes_alone:
            self.fail(error, now)
        image.goes_alone = True

    @property
    def blocked(self) -> bool:
        """Whether it waits for memory until one of certain other requests has ended."""
        return bool(self._blockers) and not any(other.over for other in self._blockers)

    def wait_for(self, others: Sequence[RequestState[StateT]]) -> bool:
        """Blocks it until one of these has ended. Returns False if that has not helped MAX_MEMORY_WAITS times."""
        if self._memory_waits == MAX_MEMORY_WAITS:
            return False
        self._memory_waits += 1
        self._blockers = others
        return True

    def _count_step(self, image: ImageProgress[StateT], seconds: float, now: float) -> None:
        image.add_time(image.state.stage, seconds)
        image.goes_alone = False
        self._memory_waits = 0
        self.advanced_at = now

    def _end_if_finished(self, now: float) -> None:
        if not self._images:
            self.end(now)

    def release(self, now: float) -> None:
        self._images, self._blockers = {}, ()
        super().release(now)
