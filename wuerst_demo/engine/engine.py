"""Engine: generates the images of many requests on one device, step by step, in shared batches.

It is driven by its own worker thread once it was started, else by the callers of `run` or `step`. The engine's methods
`submit`, `attach`, `cancel`, `estimate`, `stage_counts` and `health` are all that its clients need, so an engine in
another process can take its place.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from wuerst_demo.engine.executor import StepExecutor
from wuerst_demo.engine.interface import DEFAULT_MAX_BATCH_SIZE, Pipeline, StateT
from wuerst_demo.engine.observer import EngineObserver, RequestOutcome
from wuerst_demo.engine.request_queue import RequestQueue, validate_session
from wuerst_demo.engine.request_state import RequestState, WorkItem
from wuerst_demo.engine.scheduler import SchedulerState, next_batch, schedule
from wuerst_demo.engine.ticket import Ticket
from wuerst_demo.engine.timing import TimingKey, TimingStats
from wuerst_demo.engine.worker import FairLock, WorkerThread
from wuerst_demo.errors import DeviceLost, Unavailable, UserError
from wuerst_demo.events import Event

if TYPE_CHECKING:
    from wuerst_demo.request import Request

MAX_EXTRA_STEPS_PER_NETWORK = 8
"""Extra steps in the same network under model offload. Moving a network takes about as long as a few steps, so most of
the time goes into steps, and no request waits more than nine times as long for one."""
EXPIRY_INTERVAL_S = 1.0
"""Seconds between two checks of an idle engine for requests to forget."""
DEVICE_LOST_MESSAGE = "The device has failed; restart the program, and the computer if it fails again."


class Engine(Generic[StateT]):
    """Generates requests on one device. Every method may be called in any thread."""

    def __init__(
        self,
        pipeline: Pipeline[StateT],
        max_batch_size: int = DEFAULT_MAX_BATCH_SIZE,
        max_images: int = 64,
        max_session_images: int = 16,
        grace_s: float = 0.0,
        keep_s: float = 0.0,
        max_extra_steps: int = 0,
        clock: Callable[[], float] = time.perf_counter,
        observer: EngineObserver | None = None,
    ) -> None:
        """Takes

        - `max_batch_size`: images in one forward pass.
        - `max_images`, `max_session_images`: unfinished images of all sessions and of one; a larger request is admitted
          if there is no other.
        - `grace_s`: seconds for which a request goes on, or is kept after its end, without a reader.
        - `keep_s`: seconds for which an ended request is kept if no reader has seen its end.
        - `max_extra_steps`: see `scheduler.schedule`.
        - `clock`: current time in seconds.
        """
        self._clock = clock
        self._lock = threading.RLock()  # guards everything below; not held during a step
        self._device = FairLock()  # held during a step
        self._observer = observer or EngineObserver()
        self._queue: RequestQueue[RequestState[StateT]] = RequestQueue(
            max_images, max_session_images, grace_s, max(grace_s, keep_s), self._observer
        )
        self._submitted = 0
        self._scheduler = SchedulerState()
        self._max_batch_size = max_batch_size
        self._max_extra_steps = max_extra_steps
        self._timing = TimingStats(max_batch_size)
        self._executor = StepExecutor(
            pipeline, max_batch_size, self._timing, self._queue, self._lock, clock, self._observer
        )
        self._worker = WorkerThread(self._work, self._end_all, self._executor.health_check)

    # ------------------------------------------------------------------------------------------------------ lifetime

    def start(self) -> None:
        """Starts the worker thread. Raises RuntimeError on a second call."""
        self._worker.start()

    def close(self) -> None:
        """Ends every request with a reason, rejects new ones, and waits for the worker thread to finish its step."""
        self._worker.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the worker thread is ready to work."""
        return not self._worker.problem

    def health(self) -> dict[str, bool | float | str | None]:
        """Status as plain data: "alive"; "reason", why not, or ""; "last_step", seconds since the last step ended, or
        None; "rows", the number of unfinished images."""
        last, problem = self._executor.last_step_at, self._worker.problem
        return {
            "alive": not problem,
            "reason": problem,
            "last_step": None if last is None else round(self._clock() - last, 3),
            "rows": self.stage_counts.total(),
        }

    # ------------------------------------------------------------------------------------------------------ requests

    def run(self, request: Request, session: str = "", keep_latents: bool = False) -> Iterator[Event]:
        """Events of a request, as from `submit`; without a session, it is a session of its own.

        If the worker thread was not started, the request is generated in the caller's thread, one step at a time, and
        nothing is locked while the caller handles an event. It is not limited or Queued then, each step has its
        Progress, and closing the iterator ends it. Several threads take turns, step by step.

        Raises UserError as `submit` and the ticket do; in the caller's thread, unexpected errors as well.
        """
        company: set[str] | None = None if self._worker.started else set()
        with closing(self._submit(request, session or secrets.token_urlsafe(16), keep_latents, company)) as ticket:
            try:
                yield from ticket
            finally:
                if company:
                    self._drop([ticket])

    def run_all(self, requests: Iterable[Request]) -> Iterator[tuple[int, Event | UserError]]:
        """Events of many requests, each with the number of its request, from 0; first all events of the first one.

        They are generated in the caller's thread, as by `run`, and their images share batches: as many requests are
        taken as fill two batches. A request that fails has its UserError in place of Done, and the others go on.
        """
        session, company, waiting = secrets.token_urlsafe(16), set[str](), enumerate(requests)
        taken: deque[tuple[int, Ticket]] = deque()
        try:
            while True:
                while sum(ticket.request.images for _, ticket in taken) < 2 * self._max_batch_size:
                    if (following := next(waiting, None)) is None:
                        break
                    taken.append((following[0], self._submit(following[1], session, False, company)))
                if not taken:
                    return
                number, ticket = taken[0]
                try:
                    for event in ticket:
                        yield number, event
                except UserError as error:
                    yield number, error
                self._drop([taken.popleft()[1]])
                company.discard(ticket.id)
        finally:
            self._drop([ticket for _, ticket in taken])

    def submit(
        self, request: Request, session: str, keep_latents: bool = False, *, live: bool = False, address: str = ""
    ) -> Ticket:
        """Admits a request of a session. With `keep_latents`, each Result has its StageLatents.

        A `live` one gives way to all others: its steps are made while there is nothing else to do or room in a batch.
        It has no Queued events and no previews, and its ticket raises QueueFull if it has to wait for too long.

        All sessions of one network address share a part of the queue; "" stands for an unknown one, without a share.

        Raises QueueFull, or UserError if the session is invalid or the engine has stopped.
        """
        return self._submit(request, session, keep_latents, live=live, address=address)

    def attach(self, id: str, session: str) -> Ticket:
        """New ticket for a request that has no reader: its newest state and all finished images.

        Raises UserError if the session has no such request, or it has a reader.
        """
        with self._lock:
            self._check_open()
            return self._ticket(self._queue.find_unread(id, session))

    def cancel(self, id: str, session: str) -> None:
        """Cancels a request of a session. No effect if it has ended or the session has no such request."""
        with self._lock:
            if state := self._queue.find(id, session):
                self._queue.cancel(state, self._clock())

    def estimate(self, request: Request) -> float | None:
        """Seconds that a request submitted now would take; None if part of it has not been measured yet."""
        with self._lock:
            return self._timing.completion_s(request, self._regular_requests)

    @property
    def stage_counts(self) -> Counter[str]:
        """Number of unfinished images by stage, without live ones; "waiting" before their prompt is encoded."""
        with self._lock:
            return sum((state.stage_counts for state in self._regular_requests), Counter())

    def step_seconds(self) -> dict[TimingKey, dict[int, float]]:
        """See `TimingStats.medians`."""
        with self._lock:
            return self._timing.medians()

    @property
    def request_count(self) -> int:
        """Number of requests that are held: waiting, running, or kept after their end."""
        with self._lock:
            return len(self._queue)

    # --------------------------------------------------------------------------------------------------------- steps

    def step(self, request_ids: Collection[str] | None = None) -> bool:
        """One step, in the caller's thread. Returns False if there was nothing to do.

        The scheduler chooses from all requests; with `request_ids`, only these are advanced, and an unexpected error
        is raised. Several threads take turns in the order of arrival. Raises DeviceLost.
        """
        with self._device.acquire():
            with self._lock:
                self._queue.remove_expired(self._clock())
                if request_ids is None:
                    items = self._work_items(self._queue)
                    self._report_positions(items)
                    batch, self._scheduler = schedule(items, self._scheduler, self._max_extra_steps)
                else:
                    items = self._work_items([state for state in self._queue if state.id in request_ids])
                    batch, _ = next_batch(items, ())
            self._executor.execute(batch, in_caller=request_ids is not None)
        return bool(batch)

    def _work(self) -> float | None:
        """A step of the worker thread; returns the seconds until the next one."""
        return 0.0 if self.step() else EXPIRY_INTERVAL_S if self._queue else None

    def _step_by_caller(self, request_ids: Collection[str]) -> None:
        try:
            self.step(request_ids)
        except DeviceLost as error:
            raise UserError(DEVICE_LOST_MESSAGE) from error

    def _end_all(self, reason: str) -> None:
        with self._lock:
            self._queue.clear(reason, self._clock())

    # ------------------------------------------------------------------------------------------------ under the lock

    def _submit(
        self,
        request: Request,
        session: str,
        keep_latents: bool,
        company: set[str] | None = None,
        live: bool = False,
        address: str = "",
    ) -> Ticket:
        """`company` are the ids of the requests that the caller advances together, this one's among them; None if the
        worker thread does."""
        with self._lock:
            self._observer.submitted()
            try:
                validate_session(session)
                self._check_open()
                if company is None:
                    self._queue.check_capacity(request, session, self._timing.rest_s, live, address)
            except UserError:
                self._observer.ended(RequestOutcome("refused"))
                raise
            self._submitted += 1
            changed = threading.Condition(self._lock)
            slowdown = self._timing.slowdown(request, self._regular_requests)
            state: RequestState[StateT] = RequestState(
                request, session, self._submitted, changed, self._clock(), keep_latents, slowdown, live, address
            )
            ticket = self._ticket(state, company)
            self._queue.add(state)
            if company is None:
                self._report_positions(self._work_items(self._queue))
        self._worker.wake()
        return ticket

    def _check_open(self) -> None:
        """Raises Unavailable if the engine takes no requests; else forgets expired ones."""
        if rejection := self._worker.rejection:
            raise Unavailable(rejection)
        self._queue.remove_expired(self._clock())

    @property
    def _regular_requests(self) -> list[RequestState[StateT]]:
        return [state for state in self._queue if not state.live]

    def _work_items(self, states: Iterable[RequestState[StateT]]) -> list[WorkItem[StateT]]:
        return [item for state in states for item in state.work_items(self._executor.max_batch_size)]

    def _report_positions(self, items: Sequence[WorkItem[StateT]]) -> None:
        regular = [item for item in items if not item.live]
        for state, queued in self._timing.queue_positions(self._regular_requests, regular, self._scheduler.order):
            state.put(queued)

    def _drop(self, tickets: Sequence[Ticket]) -> None:
        """Ends requests that are generated in the caller's thread, and forgets them."""
        for ticket in tickets:
            ticket.cancel()
            ticket.close()
        with self._lock:
            self._queue.remove_expired(self._clock())

    def _ticket(self, state: RequestState[StateT], company: set[str] | None = None) -> Ticket:
        advance = None
        if company is not None:
            company.add(state.id)
            advance = partial(self._step_by_caller, company)
        return Ticket(state, self._clock, partial(self.cancel, state.id, state.session), advance)
