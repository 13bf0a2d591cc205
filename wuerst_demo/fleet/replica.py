"""What the page's process knows of one replica: its state, its images, and when it was last heard. Not thread-safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from wuerst_demo.fleet.replica_choice import ReplicaLoad, image_size
from wuerst_demo.fleet.request import FleetImage
from wuerst_demo.fleet.step_times import complete
from wuerst_demo.fleet.wire import ImageJob, ReplicaDescription, StepSeconds

ReplicaStateName = Literal["starting", "ready", "draining", "down"]
"""draining: it finishes its images and gets no others; down: it will be started again, see `Replica.restart_at`."""

GIVE_UP_FAILURES = 5
"""Failures in a row after which a replica is reported as given up. It is tried again all the same."""
AWAITED_START_S = 300.0
"""A replica that takes longer to start is not waited for, but starts all the same: it may have no machine."""
MIN_SILENCE_S = 15.0
"""Shortest time without news after which a replica is considered frozen."""
MAX_STEP_RATIO = 10.0
"""A replica at work is frozen if it reports nothing for so many times the expected step."""
UNMEASURED_SILENCE_S = 120.0
"""The same, while a kind of step is not measured: the first one may prepare the device."""


class ReplicaProcess(Protocol):
    """A replica's process, wherever it runs. No method waits for it; one that has ended ignores them."""

    def submit(self, job: ImageJob) -> None: ...
    def cancel(self, job_id: int) -> None: ...
    def kill(self) -> None: ...


@dataclass(eq=False)
class Replica:
    """A place for a replica, in which one process after another may run."""

    name: str
    max_batch_size: int
    state: ReplicaStateName = "down"
    process: ReplicaProcess | None = None
    """The present process, from its start to its end."""
    description: ReplicaDescription | None = None
    """Of the present process, once it can generate, or of the last one."""
    reason: str = ""
    """Why the last process ended, or why this one is given up."""
    failures: int = 0
    """Processes in a row that ended before they had finished an image or been well for a minute."""
    restart_at: float = 0.0
    """Clock time from which a new process may be started."""
    since: float = 0.0
    """Clock time at which its state began."""
    heard_at: float = 0.0
    """Clock time of the last report."""
    worked_at: float = 0.0
    """Clock time of the last report of work, or of the first job after a time without."""
    images: dict[int, FleetImage | None] = field(default_factory=dict)
    """What it was given and has not ended, by job; None for a job that nobody waits for any more."""
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Width and height by job."""
    step_seconds: StepSeconds = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    finished: int = 0
    """Steps and images since the program started, by all its processes."""
    _estimated_from: tuple[StepSeconds, StepSeconds] = field(default_factory=lambda: ({}, {}))
    _estimates: StepSeconds = field(default_factory=dict)
    _load: ReplicaLoad | None = None

    @property
    def machine(self) -> str:
        return self.description.machine if self.description else ""

    def is_awaited(self, now: float) -> bool:
        """Whether it can generate, or may soon."""
        if self.state == "starting" and now - self.since > AWAITED_START_S:
            return False
        return self.state == "ready" or self.failures < GIVE_UP_FAILURES

    @property
    def has_suspect(self) -> bool:
        return any(image is not None and image.suspect for image in self.images.values())

    def load(self, fleet_seconds: StepSeconds) -> ReplicaLoad:
        """For the choice of a replica; `fleet_seconds` complete what it has measured."""
        if not (self._estimated_from[0] is self.step_seconds and self._estimated_from[1] is fleet_seconds):
            self._estimated_from = self.step_seconds, fleet_seconds
            self._estimates = complete(self.step_seconds, fleet_seconds)
            self._load = None
        if self._load is None:
            self._load = ReplicaLoad(self.name, self.max_batch_size, Counter(self.sizes.values()), self._estimates)
        return self._load

    def give(self, job: ImageJob, image: FleetImage, now: float) -> None:
        """Sends an image to the process."""
        assert self.process is not None
        if not self.images:
            self.worked_at = now
        self.images[job.id] = image
        self.sizes[job.id] = image_size(job.request)
        self._load = None
        self.process.submit(job)

    def drop(self, job_id: int) -> FleetImage | None:
        """The job has ended. Returns its image if somebody waits for it."""
        self.sizes.pop(job_id, None)
        self._load = None
        return self.images.pop(job_id, None)

    def abandon(self, job_id: int) -> None:
        """Nobody waits for the job any more; it takes room until the process has ended it."""
        if job_id in self.images:
            self.images[job_id] = None
            if self.process:
                self.process.cancel(job_id)

    def take_all(self) -> list[tuple[FleetImage, bool]]:
        """All images that it has, which it no longer has then, and whether it has begun with each."""
        images, load = list[tuple[FleetImage, bool]](), ReplicaLoad(self.name, self.max_batch_size)
        for job_id, image in self.images.items():
            live = image is not None and image.live
            begun = live or load.works_on_another(self.sizes[job_id])
            if begun and not live:
                load = load.with_image(self.sizes[job_id])
            if image is not None:
                images.append((image, begun))
        self.images.clear()
        self.sizes.clear()
        self._load = None
        return images

    def frozen_for(self, now: float) -> float | None:
        """Seconds without a report, or without work while it has some, if they are too many; else None."""
        silent_s, idle_s = now - self.heard_at, now - self.worked_at
        if silent_s >= MIN_SILENCE_S:
            return silent_s
        return idle_s if self.images and idle_s >= self._max_silence_s() else None

    def _max_silence_s(self) -> float:
        sizes = set(self.sizes.values())
        wanted = [("text", 0, 0)] + [(stage, *size) for size in sizes for stage in ("prior", "decoder", "vqgan")]
        known = [max(seconds.values()) for key in wanted if (seconds := self.step_seconds.get(key))]
        if len(known) < len(wanted):
            return UNMEASURED_SILENCE_S
        return max(MIN_SILENCE_S, MAX_STEP_RATIO * max(known))
