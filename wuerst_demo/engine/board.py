"""What there is to be told of one request: the newest of everything, so that a slow reader has no backlog to read.

Does not know threads, rows or readers.
"""

from __future__ import annotations

from wuerst_demo.errors import UserError
from wuerst_demo.events import Done, Event, Progress, Queued, Result

Slot = tuple[type[Event], int]


class Board:
    """Holds one event of each kind and image, numbered in the order of their coming; newer ones replace older ones.

    So it holds no more than a place in line, a progress and a result per image, and the end, however long nobody
    reads it. `over` says that nothing more will come; `error` why, where that is not Done.
    """

    def __init__(self) -> None:
        self.over = False
        self.error: UserError | None = None
        self._slots: dict[Slot, tuple[int, Event]] = {}
        self._count = 0

    def put(self, event: Event) -> bool:
        """Shows an event. False where it was there already, or nothing more should come."""
        slot = (type(event), getattr(event, "image", 0))
        if self.over or (slot in self._slots and self._slots[slot][1] == event):
            return False
        self._slots.pop(slot, None)
        if isinstance(event, Progress):
            self._slots.pop((Queued, 0), None)
        self._count += 1
        self._slots[slot] = (self._count, event)
        self.over = isinstance(event, Done)
        return True

    def fail(self, error: UserError) -> None:
        """Ends with an error in place of Done. What is there already stays to be read."""
        if not self.over:
            self.over, self.error = True, error

    def after(self, number: int) -> tuple[int, Event] | None:
        """The oldest event that came after the one of that number, with its own; None where there is none."""
        return next((each for each in self._slots.values() if each[0] > number), None)

    @property
    def finished(self) -> bool:
        """Whether there is any picture."""
        return any(kind is Result for kind, _ in self._slots)

    @property
    def standing(self) -> Queued | Progress | None:
        """The newest place in line or progress."""
        told = (event for _, event in reversed(self._slots.values()))
        return next((event for event in told if isinstance(event, Queued | Progress)), None)
