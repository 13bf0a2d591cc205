"""A replica, in its own process: an engine with its thread, whose events leave as reports.

One stream of reports serves all images: the news of a moment travel together, and each report is a sign of life.
"""

from __future__ import annotations

import math
import pickle
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.interface import DEFAULT_MAX_BATCH_SIZE, Pipeline
from wuerst_demo.engine.observer import EngineObserver, ErrorKind, WorkStage
from wuerst_demo.engine.ticket import Ticket
from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Event, Progress, Result
from wuerst_demo.fleet.replica_choice import ReplicaLoad, image_size
from wuerst_demo.fleet.wire import (
    Command,
    ImageBytes,
    ImageJob,
    ReplicaDescription,
    Report,
    StepRecord,
    pack_result,
    without_known_preview,
)

if TYPE_CHECKING:
    from wuerst_demo.request import Request

HEARTBEAT_INTERVAL_S = 1.0
"""Seconds without news after which an empty report is sent."""
MEDIANS_INTERVAL_S = 1.0
"""Seconds between two reports of the medians of step times, but for a stage's first ones."""
ALIGN_STEPS = 2
"""A full batch that waits begins together, after images of the present one that have so many steps left."""
MAX_GATHER_S = 0.5
"""Longest wait of an idle replica for the rest of a batch while others use the fleet. It is one step long if that is
shorter: images that come within a step of each other would else stay a step apart."""
GATHER_PAUSE_SHARE = 0.25
"""Share of that wait without another image after which an incomplete batch begins."""
PROGRESS_INTERVAL_S = 0.1
"""Time for which progress without a preview waits to be reported with others: a report costs a millisecond of each of
three processes."""
URGENT_INTERVAL_S = 0.016
"""Shortest time between two reports if the second one has finished images; in fleets of a few replicas their regular
interval is shorter."""
MAX_IMAGES = 1_000_000
"""The fleet limits what a replica gets."""


@dataclass(frozen=True)
class LoadedReplica:
    """What a replica generates with."""

    pipeline: Pipeline[Any]
    description: ReplicaDescription
    memory: Callable[[], Mapping[str, float]] = dict
    """Bytes in use by owner."""
    max_extra_steps: int = 0
    """See `Engine`."""


class ReplicaServer:
    """An engine that is reached from another process. Every method may be called in any thread."""

    def __init__(self, load: Callable[[], LoadedReplica], max_batch_size: int = DEFAULT_MAX_BATCH_SIZE) -> None:
        """`load` is called by `reports`: it takes long, and may raise."""
        self._load = load
        self._max_batch_size = max_batch_size
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._news = threading.Event()
        self._due = threading.Event()  # an image has ended, or has a new preview
        self._urgent = threading.Event()  # an image has ended
        self._waiting: deque[ImageJob] = deque()  # for a place in a batch
        self._jobs: dict[int, _OpenJob] = {}
        self._failed: dict[int, UserError] = {}
        self._observer = _Recorder(self._news.set)
        self._loaded: LoadedReplica | None = None
        self._medians_due_at = float("-inf")
        self._sent_stages, self._unsent_stages = set[WorkStage](), set[WorkStage]()  # whose medians (have changed)

    def load(self) -> ReplicaDescription:
        """Loads what it generates with. Raises as the function does that was given."""
        self._loaded = loaded = self._load()
        self.engine = _RefilledEngine(
            self._refill,
            loaded.pipeline,
            self._max_batch_size,
            MAX_IMAGES,
            MAX_IMAGES,
            max_extra_steps=loaded.max_extra_steps,
            observer=self._observer,
        )
        return loaded.description

    def follow(self, commands: Sequence[bytes]) -> None:
        """Images to submit and jobs to cancel, in this order, each a pickled `Command`."""
        for content in commands:
            command: Command = pickle.loads(content)
            if isinstance(command, ImageJob):
                self.submit(command)
            else:
                self.cancel(command)

    def submit(self, job: ImageJob) -> None:
        """Begins an image, or keeps it until a place in a batch is free. An error is reported."""
        with self._lock:
            if job.live:
                self._begin(job)
            else:
                self._waiting.append(job)
                self._arrived.notify_all()
        self.engine.wake()

    def cancel(self, job_id: int) -> None:
        """Cancels an image, which is reported as failed. No effect if it has ended."""
        with self._lock:
            if waiting := next((each for each in self._waiting if each.id == job_id), None):
                self._waiting.remove(waiting)
                self._failed[job_id] = Cancelled()
                self._tell_end()
            job = self._jobs.get(job_id)
        if job:
            job.ticket.cancel()

    def collect(self) -> Report:
        """What has happened since the last call."""
        problem = str(self.engine.health()["reason"] or "")
        if problem:  # no step is made, so nothing else takes what waits
            with self._lock:
                self._begin_waiting()
        progress: dict[int, Progress] = {}
        finished: dict[int, ImageBytes] = {}
        with self._lock:
            failed, self._failed = self._failed, {}
            for job_id, job in list(self._jobs.items()):
                events, error = job.ticket.read_available()
                for event in events:
                    if isinstance(event, Progress):
                        progress[job_id] = without_known_preview(event, job.preview)
                        job.preview = event.preview
                    elif isinstance(event, Result):
                        finished[job_id] = pack_result(event)
                if error:
                    failed[job_id] = error.with_traceback(None)
                if job.ticket.over and (error or job_id in finished):
                    del self._jobs[job_id]
        steps, errors = self._observer.take()
        now, medians = time.monotonic(), None
        self._unsent_stages |= {step.stage for step in steps}
        if self._unsent_stages - self._sent_stages or (self._unsent_stages and now >= self._medians_due_at):
            medians, self._medians_due_at = self.engine.step_seconds(), now + MEDIANS_INTERVAL_S
            self._sent_stages |= self._unsent_stages
            self._unsent_stages = set()
        memory = dict(self._loaded.memory()) if self._loaded and medians is not None else {}
        return Report(progress, finished, failed, steps, errors, medians, problem, memory)

    def reports(self, min_interval_s: float) -> Iterator[ReplicaDescription | Report]:
        """Its description once it can generate, then a report whenever there is news, at most one in
        `min_interval_s` if no image has ended. Raises as `load` does. Closing the iterator ends the engine."""
        yield self.load()
        with self.engine:
            while True:
                if self._news.wait(HEARTBEAT_INTERVAL_S):
                    self._due.wait(PROGRESS_INTERVAL_S)
                for flag in (self._news, self._due, self._urgent):
                    flag.clear()
                yield self.collect()
                time.sleep(min(URGENT_INTERVAL_S, min_interval_s))
                self._urgent.wait(max(0.0, min_interval_s - URGENT_INTERVAL_S))

    def packed_reports(self, min_interval_s: float) -> Iterator[bytes]:
        """`reports`, each pickled, so that it is passed on to the page as it is."""
        for news in self.reports(min_interval_s):
            yield pickle.dumps(news)

    def _refill(self) -> None:
        """Called before each step."""
        with self._lock:
            self._gather()
            self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Begins images as far as there are places in the batches. Called under the lock."""
        if self._waiting:
            begun = [job for job in self._jobs.values() if not job.ticket.over and not job.live]  # those give way
            if len(self._waiting) >= self._max_batch_size and any(job.steps_left <= ALIGN_STEPS for job in begun):
                return
            load = ReplicaLoad("", self._max_batch_size, Counter(image_size(job.ticket.request) for job in begun))
            for job in list(self._waiting):
                if load.works_on_another(size := image_size(job.request)):
                    self._waiting.remove(job)
                    self._begin(job)
                    load = load.with_image(size)

    def _gather(self) -> None:
        """Waits a moment for the rest of a batch."""
        longest_s = min(self._observer.step_s, MAX_GATHER_S)
        until = time.monotonic() + longest_s
        while 0 < len(self._waiting) < self._max_batch_size and all(job.among_others for job in self._waiting):
            if any(not job.ticket.over for job in self._jobs.values()) or time.monotonic() >= until:
                return
            if not self._arrived.wait(GATHER_PAUSE_SHARE * longest_s):
                return

    def _begin(self, job: ImageJob) -> None:
        try:
            ticket = self.engine.submit(job.request, job.session, job.keep_latents, live=job.live, address=job.address)
        except UserError as error:
            self._failed[job.id] = error.with_traceback(None)
            self._tell_end()
        else:
            self._jobs[job.id] = opened = _OpenJob(ticket, job.live)
            ticket.listen(partial(self._tell, opened))
            self._news.set()

    def _tell(self, job: _OpenJob, event: Event | None) -> None:
        """An event of a job, or its end."""
        if event is None:
            self._tell_end()
            return
        self._news.set()
        if isinstance(event, Progress):
            job.steps_left = _steps_left(event, job.ticket.request)
            if event.preview is not None and event.preview != job.preview:
                self._due.set()

    def _tell_end(self) -> None:
        for flag in (self._news, self._due, self._urgent):
            flag.set()


class _RefilledEngine(Engine[Any]):
    """Calls a function before each step, so that finished images are replaced before the others go on."""

    def __init__(self, refill: Callable[[], None], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._refill = refill

    def step(self, request_ids: Collection[str] | None = None) -> bool:
        self._refill()
        return super().step(request_ids)

    def wake(self) -> None:
        """Has the thread call `step`."""
        self._worker.wake()


@dataclass
class _OpenJob:
    ticket: Ticket
    live: bool
    preview: bytes | None = None
    """The last one that was sent."""
    steps_left: float = math.inf
    """After its newest progress."""


def _steps_left(progress: Progress, request: Request) -> int:
    left = progress.total_steps - progress.step
    return left + request.decoder_steps if progress.stage == "prior" else left


@dataclass
class _Recorder(EngineObserver):
    """Keeps what an observer is told until it is taken."""

    tell: Callable[[], None]
    step_s: float = 0.0
    """The last step of a network."""
    _steps: deque[StepRecord] = field(default_factory=deque)
    _errors: deque[ErrorKind] = field(default_factory=deque)

    def stepped(self, stage: WorkStage, images: int, max_images: int, seconds: float) -> None:
        self._steps.append(StepRecord(stage, images, max_images, seconds))
        if stage in ("prior", "decoder"):
            self.step_s = seconds
        self.tell()

    def erred(self, kind: ErrorKind) -> None:
        self._errors.append(kind)
        self.tell()

    def take(self) -> tuple[tuple[StepRecord, ...], tuple[ErrorKind, ...]]:
        steps = tuple(self._steps.popleft() for _ in range(len(self._steps)))
        return steps, tuple(self._errors.popleft() for _ in range(len(self._errors)))
