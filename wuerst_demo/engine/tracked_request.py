"""A request from its submission to its end, as its session sees it: events, reader, times and outcome.

What generates it adds the work: `RequestState` on one device, `fleet.request.FleetRequest` on several machines.

Not thread-safe: every change is made under a lock of what generates it. Events are added and read under the lock of
`changed`, which may be another one, so that many readers do not wait for each other.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

from wuerst_demo.engine.event_buffer import EventBuffer
from wuerst_demo.engine.observer import RequestOutcome
from wuerst_demo.errors import Abandoned, Cancelled, UserError
from wuerst_demo.events import Done, Event

if TYPE_CHECKING:
    from wuerst_demo.request import Request


class TrackedRequest:
    """One request and what its session can read of it. Times are seconds of the engine's clock."""

    def __init__(
        self,
        request: Request,
        session: str,
        number: int,
        changed: Condition,
        submitted_at: float,
        live: bool = False,
        address: str = "",
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        """Unguessable; its session can attach to it again by this id."""
        self.request = request
        self.session = session
        self.address = address
        """Network address of its client; "" where unknown."""
        self.live = live
        """Whether it is a live picture, which gives way to all other work."""
        self.number = number
        """Its place in the order of arrival."""
        self.changed = changed
        """Notified of every new event and of the end."""
        self.listener: Callable[[Event | None], object] | None = None
        """Called, too, for a reader that does not wait: with each new event, and with None at the end. Must be quick
        and must not raise."""
        self.buffer = EventBuffer()
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.read_to_end = False
        """Whether a reader has seen the end."""
        self.first_image_at: float | None = None
        self.advanced_at = submitted_at
        """When its last step ended; before the first, when it was submitted."""
        self._failures: list[UserError] = []
        """Errors of its images, in the order in which they failed."""
        self._submitted_at = submitted_at
        self._reader: object | None = None
        self._reader_left_at = 0.0

    @property
    def over(self) -> bool:
        return self.buffer.over

    @property
    def stage_counts(self) -> Counter[str]:
        """Number of unfinished images by stage; "waiting" before their prompt is encoded."""
        raise NotImplementedError

    @property
    def blocked(self) -> bool:
        """Whether it waits for other requests to end, and not for its turn."""
        return False

    @property
    def unfinished(self) -> int:
        """Number of unfinished images."""
        return self.stage_counts.total()

    @property
    def outcome(self) -> RequestOutcome:
        """How it ended, once it is over."""
        error = self.buffer.error
        return RequestOutcome(
            "done" if error is None else "cancelled" if isinstance(error, Cancelled) else "failed",
            None if self.started_at is None else self.started_at - self._submitted_at,
            None if self.first_image_at is None else self.first_image_at - self._submitted_at,
        )

    @property
    def worth_keeping(self) -> bool:
        """Whether its session may want to attach after its end: not if it is live, and not if it was cancelled, unless
        that was for lack of a reader and images are finished."""
        error = self.buffer.error
        if self.live:
            return False
        return not isinstance(error, Cancelled) or (isinstance(error, Abandoned) and self.buffer.has_result)

    # ------------------------------------------------------------------------------------------------------- readers

    @property
    def has_reader(self) -> bool:
        return self._reader is not None

    def attach(self, reader: object) -> None:
        self._reader = reader

    def detach(self, reader: object, now: float, read_to_end: bool) -> None:
        """Removes a reader; no effect if another one has taken its place."""
        if self._reader is reader:
            self.read_to_end = self.read_to_end or read_to_end
            self._reader_left_at = now
            self._reader = None

    def is_abandoned(self, now: float, grace_s: float) -> bool:
        """Whether it has had no reader for `grace_s` seconds; of a live picture none at all."""
        return self._reader is None and (self.live or now - self._reader_left_at >= grace_s)

    # -------------------------------------------------------------------------------------------------------- events

    def put(self, event: Event) -> None:
        """Adds an event for the reader."""
        with self.changed:
            if self.buffer.put(event):
                self._notify(event)

    def fail(self, error: UserError, now: float) -> None:
        """Ends it with an error, unless it is over, and releases its images."""
        if not self.over:
            with self.changed:
                self.buffer.fail(error)
                self.release(now)

    def end(self, now: float) -> None:
        """Ends it after its last image: with Done, or with the error of the image that failed first."""
        with self.changed:
            if self._failures:
                self.buffer.fail(self._failures[0])
            else:
                self.put(Done(now - (now if self.started_at is None else self.started_at)))
            self.release(now)

    def release(self, now: float) -> None:
        """It has ended: forgets what only work needs, and tells the reader."""
        with self.changed:
            self.ended_at = now
            self._notify(None)

    def _notify(self, event: Event | None) -> None:
        self.changed.notify_all()
        if self.listener:
            self.listener(event)


RequestT = TypeVar("RequestT", bound=TrackedRequest)
