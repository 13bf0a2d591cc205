"""Images that wait for a replica: they take turns, and live ones give way to all others. Of those others, the ones that
not every replica may have wait apart, so that what their sessions have requested besides goes on. Not thread-safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from wuerst_demo.fleet.request import FleetImage
from wuerst_demo.fleet.turn_queue import TurnQueue


class WaitingImages:
    """The queues of a fleet. Its length, and what iterates over it, are the images that do not give way to others."""

    def __init__(self) -> None:
        self._apart, self._usual, self._live = (TurnQueue[FleetImage]() for _ in range(3))

    def __len__(self) -> int:
        return len(self._apart) + len(self._usual)

    def __iter__(self) -> Iterator[FleetImage]:
        """Images in the order of their turns, as if each could be dispatched."""
        return chain(self._apart, self._usual)

    @property
    def too_large(self) -> list[FleetImage]:
        """Those for which a replica had not enough memory."""
        return [image for image in chain(self._apart, self._live) if image.too_large_for]

    def add(self, image: FleetImage) -> None:
        self._queue_of(image).add(image.session, image, image.parent.address)

    def restore(self, image: FleetImage) -> None:
        """Adds an image that was taken before: it is the next one."""
        self._queue_of(image).restore(image.session, image, image.parent.address)

    def take(self, can_dispatch: Callable[[FleetImage], bool]) -> FleetImage | None:
        """Removes and returns the next image that can be dispatched; None if none can."""
        queues = (self._apart, self._usual, self._live)
        return next((image for queue in queues if (image := queue.take(can_dispatch))), None)

    def discard(self, unwanted: Callable[[FleetImage], bool]) -> None:
        """Removes images without using up a turn."""
        for queue in (self._apart, self._usual, self._live):
            queue.discard(unwanted)

    def _queue_of(self, image: FleetImage) -> TurnQueue[FleetImage]:
        if image.live:
            return self._live
        return self._apart if image.apart else self._usual
