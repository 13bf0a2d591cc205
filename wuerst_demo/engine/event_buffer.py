"""Buffer of one request's events that keeps only the newest of each kind, so that a slow reader has no backlog."""

from __future__ import annotations

from wuerst_demo.errors import UserError
from wuerst_demo.events import Done, Event, Progress, Queued, Result

EventSlot = tuple[type[Event], int]
"""Kind of event and number of the image; 0 for events of the whole request."""


class EventBuffer:
    """Newest event of each kind and image, numbered by arrival.

    Its size is bounded by the number of images: one Queued, one Progress and one Result each, and Done.
    """

    def __init__(self) -> None:
        self.over = False
        """Whether no more events will come."""
        self.error: UserError | None = None
        """Why the request ended without Done."""
        self._slots: dict[EventSlot, tuple[int, Event]] = {}
        self._count = 0

    def put(self, event: Event) -> bool:
        """Adds an event. Returns False if it changes nothing, or comes after the end."""
        slot = (type(event), getattr(event, "index", 0))
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
        """Ends with an error in place of Done. Events that are here already can still be read."""
        if not self.over:
            self.over, self.error = True, error

    def next_after(self, number: int) -> tuple[int, Event] | None:
        """Oldest event that arrived after the one with that number, and its own number; None if there is none."""
        return next((each for each in self._slots.values() if each[0] > number), None)

    @property
    def has_result(self) -> bool:
        return any(kind is Result for kind, _ in self._slots)

    @property
    def latest(self) -> Queued | Progress | None:
        """Newest place in the queue or progress."""
        newest_first = (event for _, event in reversed(self._slots.values()))
        return next((event for event in newest_first if isinstance(event, Queued | Progress)), None)
