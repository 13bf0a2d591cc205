"""What is done in one turn at the device, and what then goes wrong: too little memory, a fault, a guilty row.

Does not know whose turn it is, or threads but for the lock under which flights change.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic

from wuerst_demo.engine import outlook
from wuerst_demo.engine.flight import Flight, Job
from wuerst_demo.engine.pace import Pace, samples
from wuerst_demo.engine.rows import Cascade, R
from wuerst_demo.engine.steps import Steps
from wuerst_demo.engine.watch import Trouble, Watch
from wuerst_demo.errors import DeviceLost, UserError

if TYPE_CHECKING:
    from wuerst_demo.request import Request

log = logging.getLogger(__name__)

OFTEN = 0.1
"""Seconds between two looks at how long a request will still take; in between they are counted down."""
TRUST = 200
"""Batches after which a shortage of memory is forgiven. One that comes again costs a step."""
FAULT = "This could not be drawn, through a fault that is in the server's log; try again, or with other settings."


class Device(Generic[R]):
    """Does jobs with a cascade, in the caller's thread. `lock` is held while flights change, not while work is done;
    `flying` gives those that there are."""

    def __init__(
        self,
        cascade: Cascade[R],
        rows_at_once: int,
        pace: Pace,
        lock: AbstractContextManager[Any],
        clock: Callable[[], float],
        watch: Watch,
        flying: Callable[[], Iterable[Flight[R]]],
    ) -> None:
        self._cascade = cascade
        self._rows_at_once = rows_at_once
        self._pace = pace
        self._lock = lock
        self._clock = clock
        self._watch = watch
        self._flying = flying
        self._steps = Steps(cascade, clock)
        self._safe: dict[Hashable, int] = {}
        self._good: Counter[Hashable] = Counter()

    def room(self, row: R) -> int:
        """How many rows of this one's key may go together. Pixels are made one by one: the first picture is seen
        sooner, and they take the most memory."""
        return 1 if row.stage == "vqgan" else self._safe.get(row.key, self._rows_at_once)

    def do(self, batch: Sequence[Job[R]]) -> Sequence[Job[R]]:
        """Does jobs of one key and tells their flights. Returns those to go on with, where memory ran out.

        Raises DeviceLost, which nobody's rows survive. Of several rows that fail together each has to go alone at its
        next turn; the one that fails alone is guilty and ends its request.
        """
        trouble: Trouble | None = None
        error, found, seconds = None, None, 0.0
        try:
            found, seconds = self._worked(batch)
        except MemoryError:
            trouble = "memory"  # dealt with below, where the error no longer holds the tensors of the failed step
        except DeviceLost:
            raise
        except UserError as said:
            error = said.with_traceback(None)  # which would hold the rows
        except Exception:
            log.exception("A step of %d rows failed in %s.", len(batch), batch[0].stage)
            error, trouble = UserError(FAULT), "fault"
        if trouble == "memory":
            self._cascade.relieve()
        now = self._clock()
        with self._lock:
            if trouble:
                self._watch.stumbled(trouble)
            if found is not None:
                self._trust(batch)
                self._tell(batch, found, seconds, now)
            elif error:
                self._blame(batch, error, now)
            elif len(batch) > 1:
                self._safe[batch[0].key] = len(batch) // 2
                self._good[batch[0].key] = 0
                return batch[: len(batch) // 2]
            else:
                self._short(batch[0], now)
        return []

    def _short(self, job: Job[R], now: float) -> None:
        """There is no memory for a row alone. Where others hold some, it is tried again once one of those has ended;
        not behind those who wait themselves, so that somebody always goes on."""
        flight = job.flight
        others = [each for each in self._flying() if each is not flight and each.flying and not each.waits]
        if job.row is None or not others or not flight.wait(others):
            flight.fail(UserError(_too_large(flight.request)), now)

    def _trust(self, batch: Sequence[Job[R]]) -> None:
        """Lets twice as many rows go together again after TRUST batches as large as is safe: what took the memory once
        may be gone."""
        key = batch[0].key
        if len(batch) < self._safe.get(key, self._rows_at_once + 1):
            return
        self._good[key] += 1
        if self._good[key] >= TRUST:
            self._safe[key] *= 2
            self._good[key] = 0
            if self._safe[key] >= self._rows_at_once:
                del self._safe[key], self._good[key]

    def _worked(self, batch: Sequence[Job[R]]) -> tuple[Sequence[Any], float]:
        """What the cascade makes of the jobs, steps or pictures or the rows of a request, and the seconds it took."""
        rows = [job.row for job in batch if job.row is not None]
        if batch[0].stage in ("prior", "decoder"):
            return self._steps.take(rows, [job.flight.record(row) for job, row in zip(batch, rows, strict=True)])
        start = self._clock()
        found = self._cascade.finish(rows) if rows else self._cascade.begin(batch[0].flight.request)
        return found, self._clock() - start

    def _tell(self, batch: Sequence[Job[R]], found: Sequence[Any], seconds: float, now: float) -> None:
        stage, first = batch[0].stage, batch[0].flight
        self._watch.worked(stage, len(batch), batch[0].room, seconds)
        self._pace.note(stage, first.request, sum(samples(stage, job.flight.request) for job in batch), seconds)
        if stage == "text":
            first.begin(found, seconds, now)
            return
        moved = [(job.flight, job.row, each) for job, each in zip(batch, found, strict=True) if job.row is not None]
        for flight, row, each in moved:
            if isinstance(each if stage == "vqgan" else each.onward, UserError):
                self._watch.stumbled("picture")
            if stage == "vqgan":
                flight.finish(row, each, seconds, self._rest(flight, now, row), now)
            else:
                flight.step(row, each, seconds, now)
        if stage != "vqgan":
            for flight, row, _ in moved:
                if now - flight.looked >= OFTEN:
                    flight.looked, flight.rest = now, self._rest(flight, now)
                rest = None if flight.rest is None else max(0.0, flight.rest - (now - flight.looked))
                flight.tell(row, rest)

    def _rest(self, flight: Flight[R], now: float, but: R | None = None) -> float | None:
        """Seconds that a flight will still take for its rows `but` this one."""
        rows = [row for row in flight.flying if but is None or row.image != but.image]
        return outlook.rest(rows, flight.request, self._pace, now - (flight.begun or now), flight.stretch)

    def probe(self) -> None:
        """Asks the device for a sign of life, and lets go of what it keeps. Raises what the cascade raises."""
        self._cascade.probe()
        self._cascade.relieve()

    def _blame(self, batch: Sequence[Job[R]], error: UserError, now: float) -> None:
        """Ends the one at fault where that is clear; else its rows go alone from here."""
        for job in batch:
            told = len(batch) == 1 and str(error) != FAULT  # words of its own, which a second time would not change
            if job.row is None or told or not job.flight.suspect(job.row):
                job.flight.fail(error, now)


def _too_large(request: Request) -> str:
    return (
        f"The device has not enough memory for a picture of {request.width} x {request.height}; choose a smaller size."
    )
