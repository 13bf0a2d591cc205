"""Out-of-memory policy: smaller batches, then waiting for memory that other requests hold, then an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

from wuerst_demo.errors import OutOfMemory

if TYPE_CHECKING:
    from wuerst_demo.engine.request_state import RequestState
    from wuerst_demo.request import Request

BATCHES_UNTIL_REGROWTH = 200
"""Successful batches of reduced size after which twice the size is tried again. Failing again costs one step."""


class BatchLimits:
    """How many images a batch may have, by key: fewer after memory did not suffice. The caller holds its lock."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._reduced: dict[Hashable, int] = {}
        self._successes: Counter[Hashable] = Counter()  # at the reduced size

    def max_size(self, key: Hashable) -> int:
        return self._reduced.get(key, self._max_size)

    def halve(self, key: Hashable, size: int) -> int:
        """The new limit, half of the `size` > 1 for which memory did not suffice."""
        self._reduced[key] = size // 2
        self._successes[key] = 0
        return size // 2

    def count_success(self, key: Hashable, size: int) -> None:
        """Doubles a reduced limit after BATCHES_UNTIL_REGROWTH full batches: the memory may be free again."""
        if key not in self._reduced or size < self._reduced[key]:
            return
        self._successes[key] += 1
        if self._successes[key] >= BATCHES_UNTIL_REGROWTH:
            self._reduced[key] *= 2
            self._successes[key] = 0
            if self._reduced[key] >= self._max_size:
                del self._reduced[key], self._successes[key]


def wait_for_memory(request: RequestState[Any], requests: Iterable[RequestState[Any]]) -> bool:
    """Has a request wait until another one that holds memory has ended; False if there is none to wait for.

    It does not wait for requests that are waiting themselves, so that one always goes on.
    """
    others = [each for each in requests if each is not request and each.images and not each.blocked]
    return bool(others) and request.wait_for(others)


def out_of_memory(request: Request) -> OutOfMemory:
    """The error of a request that does not fit alone."""
    size = {"width": request.width, "height": request.height}
    if request.images == 1:
        return OutOfMemory(
            "The device does not have enough memory for a picture of {width} x {height}; choose a smaller size.", **size
        )
    return OutOfMemory(
        "The device does not have enough memory for {images} pictures of {width} x {height}; choose fewer pictures or a"
        " smaller size.",
        images=request.images,
        **size,
    )
