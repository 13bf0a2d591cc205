"""A request in the fleet: its images, where each of them is, and the events for its session.

Not thread-safe: every change is made under the fleet's lock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from threading import Condition
from typing import TYPE_CHECKING

from wuerst_demo.engine.tracked_request import TrackedRequest
from wuerst_demo.errors import UserError
from wuerst_demo.events import Moved, Progress
from wuerst_demo.fleet.wire import ImageBytes, unpack_result

if TYPE_CHECKING:
    from wuerst_demo.request import Request

SUSPECT_ENDS = 2
"""Replicas that may end while they generate an image, before it is kept from other such images: one of them may be the
cause, and would take the others with it each time."""


@dataclass(eq=False)
class FleetImage:
    """One unfinished image of a request."""

    parent: FleetRequest
    index: int
    """Number of the image in its request, from 0."""
    request: Request
    """Generates this image alone."""
    job_id: int | None = None
    """Its present attempt; None while it waits."""
    progress: Progress | None = None
    """Newest of the present attempt."""
    preview: bytes | None = None
    """Newest of the present attempt."""
    moves: int = 0
    """Attempts after which it began again elsewhere."""
    ended_replicas: int = 0
    """Those of them that ended with their replica."""
    too_large_for: dict[str, UserError] = field(default_factory=dict)
    """Replicas that do not have enough memory for it, by name, and what they reported."""

    @property
    def session(self) -> str:
        return self.parent.session

    @property
    def live(self) -> bool:
        return self.parent.live

    @property
    def suspect(self) -> bool:
        """Whether it may be what ends replicas."""
        return self.ended_replicas >= SUSPECT_ENDS

    @property
    def apart(self) -> bool:
        """Whether not every replica may have it, so that it waits apart from others."""
        return bool(self.too_large_for) or self.suspect


class FleetRequest(TrackedRequest):
    """One request in the fleet."""

    def __init__(
        self,
        request: Request,
        session: str,
        number: int,
        changed: Condition,
        submitted_at: float,
        keep_latents: bool = False,
        live: bool = False,
        address: str = "",
    ) -> None:
        super().__init__(request, session, number, changed, submitted_at, live, address)
        self.images = {k: FleetImage(self, k, request.image(k)) for k in range(request.images)}
        """Unfinished images by their number."""
        self.keep_latents = keep_latents

    @property
    def stage_counts(self) -> Counter[str]:
        """Number of unfinished images by stage; "waiting" before their first step."""
        stages = (image.progress.stage if image.progress else "waiting" for image in self.images.values())
        return Counter(stages)

    @property
    def blocked(self) -> bool:
        """As of `TrackedRequest`: whether each of its images waits for a replica that may have it."""
        return all(image.job_id is None and image.apart for image in self.images.values())

    @property
    def unfinished(self) -> int:
        return len(self.images)

    def start(self, image: FleetImage, job_id: int, now: float) -> None:
        """The image is given to a replica."""
        self.started_at = now if self.started_at is None else self.started_at
        image.job_id = job_id

    def add_progress(self, image: FleetImage, progress: Progress, remaining_s: float | None, now: float) -> None:
        """A step of the image; `remaining_s` is that of the request's images that wait."""
        self.advanced_at = now
        image.preview = progress.preview or image.preview
        image.progress = replace(progress, index=image.index, preview=image.preview)
        self.put(replace(image.progress, remaining_s=self._remaining_s(remaining_s)))

    def finish_image(self, image: FleetImage, packed: ImageBytes, now: float) -> None:
        """The image is finished."""
        self.first_image_at = now if self.first_image_at is None else self.first_image_at
        self.put(unpack_result(packed, image.index, image.request))
        self._drop(image, now)

    def fail_image(self, image: FleetImage, error: UserError, now: float) -> None:
        """The image has failed, wherever it is tried; the others go on."""
        self._failures.append(error)
        self._drop(image, now)

    def move(self, image: FleetImage) -> None:
        """The image is to begin again on another replica."""
        image.moves += 1
        image.job_id, image.progress, image.preview = None, None, None
        self.put(Moved(image.index, image.moves))

    def release(self, now: float) -> None:
        self.images = {}
        super().release(now)

    def _drop(self, image: FleetImage, now: float) -> None:
        del self.images[image.index]
        if not self.images:
            self.end(now)

    def _remaining_s(self, waiting_s: float | None) -> float | None:
        """Seconds until the last image is finished; None where unknown."""
        longest_s = 0.0
        for image in self.images.values():
            seconds = waiting_s if image.progress is None else image.progress.remaining_s
            if seconds is None:
                return None
            longest_s = max(longest_s, seconds)
        return longest_s
