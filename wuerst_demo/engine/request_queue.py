"""Queue of the requests in the engine, running and recently ended, and the limits for new ones. Not thread-safe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import TYPE_CHECKING, Generic

from wuerst_demo.engine.observer import EngineObserver
from wuerst_demo.engine.tracked_request import RequestT, TrackedRequest
from wuerst_demo.errors import Abandoned, Cancelled, QueueFull, Unavailable, UserError

if TYPE_CHECKING:
    from wuerst_demo.request import Request

UNKNOWN_REQUEST_MESSAGE = "This request does not exist any more; start it again."
ALREADY_ATTACHED_MESSAGE = "This request is open in another page; close that page and try again."
STOPPED_MESSAGE = "The request was stopped before its end; start it again if it is still wanted."

SESSION_LIMIT_MESSAGE = "You have as many pictures in the queue as one user may have ({count}); try again in a minute."
SESSION_LIMIT_FOR_MESSAGE = (
    "You have as many pictures in the queue as one user may have ({count}); try again in about {seconds} s."
)
ADDRESS_LIMIT_MESSAGE = "Your network has its share of the queue ({count}); try again in a minute."
ADDRESS_LIMIT_FOR_MESSAGE = "Your network has its share of the queue ({count}); try again in about {seconds} s."
QUEUE_FULL_MESSAGE = "The queue is full ({count}); try again in a minute."
QUEUE_FULL_FOR_MESSAGE = "The queue is full ({count}); try again in about {seconds} s."

LIVE_SHED_MESSAGE = "Others are waiting for their pictures; live pictures go on when they have them."
LIVE_PATIENCE_S = 1.0
"""Time for which a live picture waits for other work before it is given up."""

MAX_SESSION_CHARACTERS = 200
MAX_UNSEEN_REQUESTS = 64
"""Requests that ended without a reader and are kept with their pictures in memory, at most."""


class RequestQueue(Generic[RequestT]):
    """Iterates over the running and waiting requests, oldest first. `len` includes the ended ones that are kept."""

    def __init__(
        self, max_images: int, max_session_images: int, grace_s: float, keep_s: float, observer: EngineObserver
    ) -> None:
        """Parameters: see `Engine`."""
        self.max_images = max_images
        self._max_session_images = max_session_images
        self._grace_s = grace_s
        self._keep_s = keep_s
        self._observer = observer
        self._active: dict[str, RequestT] = {}
        self._ended: dict[str, RequestT] = {}

    def __iter__(self) -> Iterator[RequestT]:
        return iter(list(self._active.values()))

    def __len__(self) -> int:
        return len(self._active) + len(self._ended)

    def check_capacity(
        self,
        request: Request,
        session: str,
        rest_s: Callable[[RequestT], float | None],
        live: bool = False,
        address: str = "",
    ) -> None:
        """Raises QueueFull, with the time to wait, if the request exceeds the limits. An empty queue takes any.

        Clients of one address have an equal share of the queue, counting one address more than there are, so that there
        is room for another. Without images of its own in the queue, each may submit a request of any size.
        `rest_s` gives the seconds that a request in the queue still takes; None where unknown.
        Live pictures count for their session, and for other live ones; they take no place from anything else.
        """
        states = [state for state in self if not state.over]
        own = [state for state in states if state.session == session]
        counted = [state for state in states if live or not state.live]
        of_address = [state for state in counted if address and state.address == address]
        share = fair_share(self.max_images, {address, *(state.address for state in counted)})
        for of, among, limit, full, full_for in (
            (own, states, self._max_session_images, SESSION_LIMIT_MESSAGE, SESSION_LIMIT_FOR_MESSAGE),
            (of_address, counted, share, ADDRESS_LIMIT_MESSAGE, ADDRESS_LIMIT_FOR_MESSAGE),
            (counted, counted, self.max_images, QUEUE_FULL_MESSAGE, QUEUE_FULL_FOR_MESSAGE),
        ):
            present = sum(state.unfinished for state in of)
            excess = present + request.images - limit
            if present and excess > 0:
                # Images are finished evenly over the time for all of them; each session has one step in a round.
                rounds = _count_sessions(among) / _count_sessions(of)
                rests_s = [rest_s(state) for state in of]
                wait_s = rounds * min(1.0, excess / present) * sum(filter(None, rests_s))
                if None in rests_s:
                    raise QueueFull(full, count=present)
                raise QueueFull(full_for, wait_s, count=present, seconds=max(1, round(wait_s)))

    def add(self, state: RequestT) -> None:
        self._active[state.id] = state

    def find(self, id: object, session: str) -> RequestT | None:
        """Request with this id if it belongs to the session."""
        state = (self._active.get(id) or self._ended.get(id)) if isinstance(id, str) else None
        return state if state is not None and state.session == session else None

    def find_unread(self, id: object, session: str) -> RequestT:
        """As `find`, for a new reader. Raises UserError if there is no such request, or if it has a reader."""
        state = self.find(id, session)
        if state is None:
            raise UserError(UNKNOWN_REQUEST_MESSAGE)
        if state.has_reader:
            raise UserError(ALREADY_ATTACHED_MESSAGE)
        return state

    def remove_expired(self, now: float) -> None:
        """Cancels requests that had no reader for the grace time, and forgets ended ones that were kept long enough.

        Ends live pictures that have waited for other work for LIVE_PATIENCE_S.
        """
        others_wait = any(not (state.live or state.over or state.blocked) for state in self)
        for state in self:
            if state.live and others_wait and now - state.advanced_at >= LIVE_PATIENCE_S:
                state.fail(QueueFull(LIVE_SHED_MESSAGE), now)
            if state.is_abandoned(now, self._grace_s):
                state.fail(Abandoned(STOPPED_MESSAGE), now)
            if state.over:
                del self._active[state.id]
                self._observer.ended(state.outcome)
                if state.worth_keeping:
                    self._ended[state.id] = state
        unseen = [state for state in self._ended.values() if not state.read_to_end]
        for state in list(self._ended.values()):
            age_s = 0.0 if state.ended_at is None else now - state.ended_at
            keep_s = self._grace_s if state.read_to_end else self._keep_s
            if age_s >= keep_s or state in unseen[:-MAX_UNSEEN_REQUESTS]:
                del self._ended[state.id]

    def cancel(self, state: RequestT, now: float) -> None:
        state.fail(Cancelled(STOPPED_MESSAGE), now)

    def clear(self, reason: str, now: float) -> None:
        """Ends all requests with a reason and forgets them."""
        for state in self:
            state.fail(Unavailable(reason), now)
            self._observer.ended(state.outcome)
        self._active.clear()
        self._ended.clear()


def fair_share(total: int, addresses: Set[str]) -> int:
    """How much of a queue one address may have: an equal part, with one more for an address that is not there yet."""
    return total // (len(addresses) + 1)


def _count_sessions(states: Iterable[TrackedRequest]) -> int:
    return len({state.session for state in states})


def validate_session(session: object) -> None:
    """Raises UserError for anything but a text of 1 to MAX_SESSION_CHARACTERS characters."""
    if not isinstance(session, str) or not 0 < len(session) <= MAX_SESSION_CHARACTERS:
        raise UserError(
            "A session is text of 1 to {most} characters; reload the page to get one.", most=MAX_SESSION_CHARACTERS
        )
