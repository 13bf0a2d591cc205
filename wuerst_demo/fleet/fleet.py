"""Fleet: the interface of the engine over many replicas, each of which has an engine of its own on its own device.

Images, not requests, are what is given to replicas. They wait here, where addresses and their sessions take turns over
the whole fleet (see `TurnQueue` for the bound), until a replica has room. An image whose replica ends begins again
elsewhere: it is seeded, so it is the same picture.

The fleet starts no process and no thread. `supervisor.Supervisor` starts replicas and calls `receive`, `lose` and
`tick`; a `ReplicaProcess` is how a replica is reached, on Ray or in the tests.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from wuerst_demo.engine.interface import DEFAULT_MAX_BATCH_SIZE
from wuerst_demo.engine.observer import EngineObserver, RequestOutcome
from wuerst_demo.engine.request_queue import RequestQueue, validate_session
from wuerst_demo.engine.ticket import Ticket
from wuerst_demo.engine.worker import CLOSING_MESSAGE
from wuerst_demo.errors import OutOfMemory, Unavailable, UserError
from wuerst_demo.events import Queued
from wuerst_demo.fleet.readiness import check_ready, ready_replicas, unready_reason
from wuerst_demo.fleet.replica import Replica
from wuerst_demo.fleet.replica_choice import (
    ReplicaLoad,
    WorkKind,
    choose_replica,
    completion_s,
    image_size,
    images_per_s,
    work_kind,
)
from wuerst_demo.fleet.request import FleetImage, FleetRequest
from wuerst_demo.fleet.step_times import merge
from wuerst_demo.fleet.waiting_images import WaitingImages
from wuerst_demo.fleet.wire import ImageJob, Report, StepSeconds

if TYPE_CHECKING:
    from wuerst_demo.request import Request

MAX_MOVES = 5
"""Replicas that may end while they generate an image, before it is considered the cause."""
MAX_IMAGES_PER_REPLICA = 64
"""Unfinished images of all sessions, for each replica."""
MOVED_TOO_OFTEN_MESSAGE = "This failed on {count} machines (see the server's log); try again, or with other settings."


class Fleet:
    """The methods of `Engine` over replicas. Every method may be called in any thread."""

    def __init__(
        self,
        max_session_images: int = 16,
        grace_s: float = 0.0,
        keep_s: float = 0.0,
        max_batch_size: int = DEFAULT_MAX_BATCH_SIZE,
        clock: Callable[[], float] = time.monotonic,
        observer: EngineObserver | None = None,
    ) -> None:
        """Takes what `Engine` takes; `max_batch_size` is that of a replica."""
        self.lock = threading.RLock()
        """Guards everything, the replicas included."""
        self.replicas: dict[str, Replica] = {}
        self.moved = 0
        """Images that began again on another replica since the program started."""
        self.max_batch_size = max_batch_size
        self.clock = clock
        self._observer = observer or EngineObserver()
        self._keep_s = max(grace_s, keep_s)
        self._requests: RequestQueue[FleetRequest] = RequestQueue(
            MAX_IMAGES_PER_REPLICA, max_session_images, grace_s, self._keep_s, self._observer
        )
        self._waiting = WaitingImages()
        self._step_seconds: StepSeconds = {}  # of all replicas, each kind as it was measured last
        self._submitted, self._jobs = 0, 0
        self._secret = secrets.token_bytes(16)
        self._rates: dict[WorkKind, float] = {}  # see `_rate`
        self._backlog_s: float | None = None  # until the last waiting image is finished; as of the last tick
        self._closed = False

    # ------------------------------------------------------------------------------------------------------ requests

    def submit(
        self, request: Request, session: str, keep_latents: bool = False, *, live: bool = False, address: str = ""
    ) -> Ticket:
        """Admits a request of a session, as `Engine.submit` does. Raises QueueFull, too, if no replica is ready."""
        with self.lock:
            self._observer.submitted()
            try:
                validate_session(session)
                self._check_open()
                check_ready(self.replicas.values())
                self._requests.max_images = MAX_IMAGES_PER_REPLICA * len(self.replicas)
                self._requests.check_capacity(request, session, self._rest_s, live, address)
            except UserError:
                self._observer.ended(RequestOutcome("refused"))
                raise
            self._submitted += 1
            changed = threading.Condition()  # not `lock`, for which a thousand readers would contend
            state = FleetRequest(request, session, self._submitted, changed, self.clock(), keep_latents, live, address)
            ticket = self._ticket(state)
            self._requests.add(state)
            for image in state.images.values():
                self._waiting.add(image)
            self.dispatch()
            if state.started_at is None and not live:
                self._report_positions(state)
            return ticket

    def attach(self, id: str, session: str) -> Ticket:
        """As `Engine.attach`."""
        with self.lock:
            self._check_open()
            return self._ticket(self._requests.find_unread(id, session))

    def cancel(self, id: str, session: str) -> None:
        """As `Engine.cancel`."""
        with self.lock:
            if state := self._requests.find(id, session):
                self._requests.cancel(state, self.clock())
                self._forget_ended()

    def estimate(self, request: Request) -> float | None:
        """As `Engine.estimate`; None, too, if no replica is ready."""
        with self.lock:
            loads = self._loads()
            own_s, rate = completion_s(request, loads), self._rate(request)
            if own_s is None or not rate:
                return None
            return own_s + len(self._waiting) / rate

    @property
    def stage_counts(self) -> Counter[str]:
        """As `Engine.stage_counts`."""
        with self.lock:
            return sum((state.stage_counts for state in self._requests if not state.live), Counter())

    @property
    def request_count(self) -> int:
        """Number of requests that are held: waiting, running, or kept after their end."""
        with self.lock:
            return len(self._requests)

    def close(self) -> None:
        """Ends every request with a reason and rejects new ones."""
        with self.lock:
            self._closed = True
            self._requests.clear(CLOSING_MESSAGE, self.clock())
            self._forget_ended()

    # ------------------------------------------------------------------------------------------------------ replicas

    def receive(self, replica: Replica, report: Report) -> None:
        """News of a replica's present process."""
        with self.lock:
            now = self.clock()
            replica.heard_at = now
            if report.shows_work:
                replica.worked_at = now
            replica.memory = report.memory or replica.memory
            if report.step_seconds is not None:
                replica.step_seconds = report.step_seconds
                self._step_seconds = merge(self._step_seconds, report.step_seconds)
                self._rates.clear()
            for step in report.steps:
                replica.steps += 1
                self._observer.stepped(step.stage, step.images, step.max_images, step.seconds)
            for kind in report.errors:
                self._observer.erred(kind)
            if report.problem and replica.state == "ready":
                replica.state, replica.reason = "draining", report.problem
            for job_id, progress in report.progress.items():
                if image := replica.images.get(job_id):
                    image.parent.add_progress(image, progress, self._backlog_s, now)
            for job_id, packed in report.finished.items():
                if image := replica.images.get(job_id):
                    image.parent.finish_image(image, packed, now)  # if it raises, `lose` finds the image
                    replica.finished += 1
                    replica.failures = 0
                replica.drop(job_id)
            for job_id, error in report.failed.items():
                if image := replica.drop(job_id):
                    self._handle_failure(replica, image, error, now)
            if report.finished or report.failed:
                self.dispatch()

    def lose(self, replica: Replica) -> None:
        """The replica's process has ended: its images begin again elsewhere."""
        with self.lock:
            for image, begun in reversed(replica.take_all()):
                if begun:
                    self._move(image, self.clock())
                else:
                    image.job_id = None
                    self._waiting.restore(image)
            self.dispatch()

    def dispatch(self) -> None:
        """Gives waiting images to replicas that have room."""
        with self.lock:
            loads = {load.name: load for load in self._loads()}
            while loads and (image := self._waiting.take(partial(self._can_dispatch, loads, {}))):
                chosen = choose_replica(image.request, self._suitable(image, loads))
                assert chosen is not None
                self._jobs += 1
                parent = image.parent
                names = self._opaque(image.session), self._opaque(parent.address)
                company = any(state.session != image.session and not state.over for state in self._requests)
                job = ImageJob(self._jobs, image.request, *names, parent.keep_latents, image.live, company)
                parent.start(image, job.id, self.clock())
                self.replicas[chosen.name].give(job, image, self.clock())
                loads[chosen.name] = chosen.with_image(image_size(image.request))

    def tick(self) -> None:
        """To be called about every half second: forgets expired requests and reports places in the queue."""
        with self.lock:
            self._requests.remove_expired(self.clock())
            self._forget_ended()
            for image in self._waiting.too_large:
                self._fail_if_too_large(image, self.clock())
            self._forget_ended()
            self.dispatch()
            self._rates.clear()
            self._backlog_s = self._waiting_s() if self._waiting else None
            self._report_positions()

    def problem(self) -> str:
        """Why nothing can be generated; "" if a replica is ready."""
        with self.lock:
            return CLOSING_MESSAGE if self._closed else unready_reason(self.replicas.values())

    # ------------------------------------------------------------------------------------------------ under the lock

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(CLOSING_MESSAGE)

    def _loads(self) -> list[ReplicaLoad]:
        return [replica.load(self._step_seconds) for replica in ready_replicas(self.replicas.values())]

    def _suitable(self, image: FleetImage, loads: Mapping[str, ReplicaLoad]) -> list[ReplicaLoad]:
        """Replicas that may be given the image. Live ones leave room for others, and suspects keep apart."""
        found = [load for name, load in loads.items() if name not in image.too_large_for]
        if image.suspect:
            found = [load for load in found if not self.replicas[load.name].has_suspect]
        return [load for load in found if load.works_on_another(image_size(image.request))] if image.live else found

    def _can_dispatch(
        self, loads: Mapping[str, ReplicaLoad], open_sizes: dict[tuple[int, int], bool], image: FleetImage
    ) -> bool:
        """Whether a replica has room for the image; `open_sizes` keeps the answers while `loads` do not change."""
        size = image_size(image.request)
        if image.apart or image.live:
            return any(load.has_room(size) for load in self._suitable(image, loads))
        if size not in open_sizes:
            open_sizes[size] = any(load.has_room(size) for load in loads.values())
        return open_sizes[size]

    def _handle_failure(self, replica: Replica, image: FleetImage, error: UserError, now: float) -> None:
        """Tries the image elsewhere if it is the replica that failed, else ends it with the error."""
        if isinstance(error, OutOfMemory):
            image.too_large_for[replica.name] = error
            if not self._fail_if_too_large(image, now):
                self._begin_again(image)
        elif isinstance(error, Unavailable):
            self._move(image, now)
        else:
            image.parent.fail_image(image, error, now)

    def _move(self, image: FleetImage, now: float) -> None:
        """The replica has ended with the image."""
        image.ended_replicas += 1
        if image.ended_replicas > MAX_MOVES:
            image.parent.fail_image(image, UserError(MOVED_TOO_OFTEN_MESSAGE, count=MAX_MOVES + 1), now)
        else:
            self._begin_again(image)

    def _begin_again(self, image: FleetImage) -> None:
        self.moved += 1
        image.parent.move(image)
        self._waiting.restore(image)

    def _fail_if_too_large(self, image: FleetImage, now: float) -> bool:
        """Whether there is no replica on which to try the image, not even one that is awaited: then it has failed.
        While all machines are gone, or about to go, it waits for what joins."""
        staying = [each for each in self.replicas.values() if each.state != "draining"]
        untried = [each for each in self.replicas.values() if each.name not in image.too_large_for]
        if not staying or any(each.is_awaited(now) for each in untried):
            return False
        image.parent.fail_image(image, next(reversed(image.too_large_for.values())), now)
        return True

    def _forget_ended(self) -> None:
        """Removes images that have ended from the queue, and those of requests that have from replicas, too."""
        self._waiting.discard(lambda image: image.parent.over or image.index not in image.parent.images)
        for replica in self.replicas.values():
            for job_id, image in list(replica.images.items()):
                if image is not None and image.parent.over:
                    replica.abandon(job_id)

    def _opaque(self, name: str) -> str:
        """A name for a session or address that tells replicas nothing; "" for none."""
        return hashlib.blake2b(name.encode(), key=self._secret, digest_size=12).hexdigest() if name else ""

    def _ticket(self, state: FleetRequest) -> Ticket:
        return Ticket(state, self.clock, partial(self.cancel, state.id, state.session))

    def _rest_s(self, state: FleetRequest) -> float | None:
        """Seconds in which the whole fleet would finish what is left of a request."""
        rate = self._rate(state.request)
        return len(state.images) / rate if rate else None

    def _rate(self, request: Request) -> float:
        """See `images_per_s`; computed once between two ticks."""
        kind = work_kind(request)
        if kind not in self._rates:
            self._rates[kind] = images_per_s(request, self._loads())
        return self._rates[kind]

    def _waiting_s(self) -> float | None:
        """Seconds until the last image that waits now is finished."""
        last = max(self._waiting, key=lambda image: image.parent.number)
        own_s, rate = completion_s(last.request, self._loads()), self._rate(last.request)
        return None if own_s is None or not rate else own_s + len(self._waiting) / rate

    def _report_positions(self, only: FleetRequest | None = None) -> None:
        """The place of each request that has not begun, in images, and its wait."""
        seen = set[int]()
        for before, image in enumerate(self._waiting):
            state = image.parent
            if state.started_at is None and state.number not in seen and only in (None, state):
                seen.add(state.number)
                rate = self._rate(state.request)
                state.put(Queued(before + 1, round(before / rate, 1) if rate else None))
