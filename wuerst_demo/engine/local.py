"""The engine of a page: one thread owns the device and moves many people's rows, step by step, in shared batches.

Does not know torch, the model or who shows the events.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from wuerst_demo.engine import admission, outlook
from wuerst_demo.engine.batching import Place, next_turn
from wuerst_demo.engine.device import Device
from wuerst_demo.engine.flight import Flight, Job
from wuerst_demo.engine.flights import STOPPED, Flights
from wuerst_demo.engine.owner import Owner
from wuerst_demo.engine.pace import Pace
from wuerst_demo.engine.rows import ROWS_AT_ONCE, Cascade, R
from wuerst_demo.engine.ticket import Ticket
from wuerst_demo.engine.watch import Nobody, Told, Watch
from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Event

if TYPE_CHECKING:
    from wuerst_demo.request import Request

STAY = 8
"""Turns that are added to each where networks are moved to the device one at a time: moving one costs about as much as
a few steps, so that most of the time goes into steps, and nobody waits more than nine times as long for a turn."""
UNKNOWN = "There is no such drawing any more; start it again."
WATCHED = "This drawing is being watched already; close the other page, or wait until it has gone."


class Local(Generic[R]):
    """Draws requests on one device, for everybody at once. Only its own thread touches the cascade.

    At most `rows_at_once` rows share a forward pass. At most `waiting` pictures are in the engine, drawn or waiting,
    and `per_session` of one person's; a request larger than that is taken where there is nothing else. A request that
    nobody reads goes on for `grace` seconds. It is kept for as long after its end, or, where nobody has seen that, for
    `kept` seconds. Where it costs time to go from one network to another, up to `stay` turns are added to each, see
    `batching.next_turn`. `clock` counts seconds; `watch` hears what happens.
    """

    def __init__(
        self,
        cascade: Cascade[R],
        rows_at_once: int = ROWS_AT_ONCE,
        waiting: int = 64,
        per_session: int = 16,
        grace: float = 0.0,
        kept: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
        watch: Watch | None = None,
        stay: int = 0,
    ) -> None:
        self._bounds = admission.Bounds(waiting, per_session)
        self._clock = clock
        self._lock = threading.RLock()  # around everything below; never held while the device works
        self._watch = watch or Nobody()
        self._flights: Flights[R] = Flights(grace, max(grace, kept), self._watch)
        self._submitted = 0
        self._place = Place()
        self._stay = stay
        self._pace = Pace(rows_at_once)
        self._device = Device(cascade, rows_at_once, self._pace, self._lock, clock, self._watch, lambda: self._flights)
        self._owner = Owner(self._owns, self._end, self._device.probe)
        self.last_turn: float | None = None
        """When the device was last done with something, by the clock."""

    def start(self) -> None:
        """Starts the thread that owns the device, once."""
        self._owner.start()

    def close(self) -> None:
        """Ends every request, with a reason, and the thread as soon as its step is done. Takes no more requests."""
        self._owner.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the thread that owns the device is there to work."""
        return not self._owner.reason

    def health(self) -> dict[str, bool | float | str | None]:
        """For whoever watches: "alive"; "reason", why not, for people, "" where it is; "last_step", how many seconds
        ago the device was done with something, None where it never was; "rows", how many pictures are not drawn yet."""
        last = self.last_turn
        reason = self._owner.reason
        return {
            "alive": not reason,
            "reason": reason,
            "last_step": None if last is None else round(self._clock() - last, 3),
            "rows": self.standing.total(),
        }

    def run(self, request: Request, session: str = "", stages: bool = False) -> Iterator[Event]:
        """Queued, Progress, each Result, Done: what `Inline.run` gives. Somebody without a session is a person each
        time. Closing it leaves the request to the grace time. Raises UserError as `submit` and the ticket do."""
        with closing(self.submit(request, session or secrets.token_urlsafe(16), stages)) as ticket:
            yield from ticket

    def submit(self, request: Request, session: str, stages: bool = False) -> Ticket:
        """Takes a request of the person `session`, who reads the ticket; with `stages`, each Result has its Stages.

        Raises Busy where there is no room for it, UserError where the session is not one, or the engine has stopped.
        """
        with self._lock:
            self._watch.came()
            try:
                ticket = self._admitted(request, session, stages)
            except UserError:
                self._watch.ended(Told("refused"))
                raise
        self._owner.wake()
        return ticket

    def attach(self, id: str, session: str) -> Ticket:
        """A new ticket for a request that its owner stopped reading: the newest state, and everything finished.

        Raises UserError where there is no such request of this person's, or somebody reads it.
        """
        with self._lock:
            self._look()
            flight = self._flights.found(id, session)
            if flight is None:
                raise UserError(UNKNOWN)
            if flight.reader is not None:
                raise UserError(WATCHED)
            return self._ticket(flight)

    def cancel(self, id: str, session: str) -> None:
        """Stops a request of this person's. One that has ended, is somebody else's or nobody's: no effect."""
        with self._lock:
            if flight := self._flights.found(id, session):
                self._stop(flight)

    def estimate(self, request: Request) -> float | None:
        """Seconds that a request would take if it came now; None where a part of it has not been measured yet."""
        with self._lock:
            return outlook.estimate(request, self._flights, self._pace)

    @property
    def standing(self) -> Counter[str]:
        """Pictures that are not drawn yet, by the stage they stand in; "waiting" before their prompt is read."""
        with self._lock:
            return sum((flight.standing for flight in self._flights), Counter())

    # ------------------------------------------------------------------------------------- the thread, turn by turn

    def _owns(self) -> float | None:
        """A turn of the thread's. Between turns, what has ended is forgotten in time."""
        return 0.0 if self._turn() else 1.0 if self._flights else None

    def _turn(self) -> bool:
        """One turn at the device. False where there is nothing to do."""
        with self._lock:
            self._flights.sweep(self._clock())
            jobs = self._jobs()
            self._tell_places(jobs)
            chosen, self._place = next_turn(jobs, self._place, self._stay)
        batch: Sequence[Job[R]] = chosen
        while batch:
            batch = self._device.do(batch)
            self.last_turn = self._clock()
        return bool(jobs)

    def _end(self, reason: str) -> None:
        """Ends everything there is."""
        with self._lock:
            self._flights.end(reason, self._clock())

    # ------------------------------------------------------------------------------------ under the lock, from here

    def _admitted(self, request: Request, session: str, stages: bool) -> Ticket:
        admission.check(session)
        self._look()
        admission.admit(self._bounds, request, session, list(self._flights), self._pace)
        self._submitted += 1
        news = threading.Condition(self._lock)
        flight: Flight[R] = Flight(request, session, self._submitted, news, self._clock(), stages)
        flight.stretch = outlook.stretch(request, self._flights, self._pace)
        ticket = self._ticket(flight)
        self._flights.add(flight)
        self._tell_places(self._jobs())
        return ticket

    def _look(self) -> None:
        """Before anybody is let in. Raises UserError where the engine has stopped."""
        if refusal := self._owner.refusal:
            raise UserError(refusal)
        self._flights.sweep(self._clock())

    def _jobs(self) -> list[Job[R]]:
        return [job for flight in self._flights for job in flight.jobs(self._device.room)]

    def _tell_places(self, jobs: Sequence[Job[R]]) -> None:
        for flight, queued in outlook.places(self._flights, jobs, self._place.line, self._pace):
            flight.put(queued)

    def _ticket(self, flight: Flight[R]) -> Ticket:
        return Ticket(flight, partial(self._stop, flight), self._clock)

    def _stop(self, flight: Flight[R]) -> None:
        with self._lock:
            flight.fail(Cancelled(STOPPED), self._clock())
