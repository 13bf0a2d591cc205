"""Supervisor of a fleet's replicas: starts them, notices those that end or freeze, starts them again, drains them.

How a replica is started is the launcher's part: on Ray in `ray_cluster`, in this process in the tests.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from wuerst_demo import __version__
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.fleet.replica import GIVE_UP_FAILURES, Replica, ReplicaProcess
from wuerst_demo.fleet.wire import ReplicaDescription, Report

log = logging.getLogger(__name__)

TICK_INTERVAL_S = 0.5
MAX_TICK_DELAY_S = 1.0
"""A tick that is later than this was held up in this process, which has not heard replicas in that time either."""
MAX_START_S = 1800.0
"""Longest time in which a replica loads its checkpoint, downloads included."""
MIN_RESTART_S, MAX_RESTART_S = 1.0, 60.0
"""Seconds before a replica is started again: the first time, doubled with each failure, and at most."""
START_REASON = (
    "it was not ready in {minutes:.0f} minutes: see that a GPU or a core is free for it, and that its machine can load"
    " the checkpoint"
)
VERSION_REASON = "it has wuerst_demo {theirs}, and this page has {ours}: install the same there"


class ReplicaListener(Protocol):
    """Is told of a process, in any thread."""

    def ready(self, description: ReplicaDescription) -> None:
        """It can generate."""

    def report(self, report: Report) -> None:
        """It has news, or is alive."""

    def ended(self, reason: str) -> None:
        """It has ended, or could not be started; nothing more comes."""


class Launcher(Protocol):
    """Starts processes."""

    def wanted(self) -> int:
        """How many replicas there should be now."""

    def launch(self, name: str, listener: ReplicaListener) -> ReplicaProcess:
        """Starts a process without waiting for it, and never raises: another thread tells `listener` of failures."""

    def close(self) -> None:
        """Ends all processes."""


class Supervisor:
    """Keeps as many replicas running as the launcher wants."""

    def __init__(self, fleet: Fleet, launcher: Launcher) -> None:
        self.fleet = fleet
        self._launcher = launcher
        self._clock = fleet.clock
        self._lock = fleet.lock
        self._count = 0  # of names given so far
        self._retired: set[Replica] = set()  # to be removed when they are drained
        self._to_restart: list[Replica] = []  # by a rolling restart
        self._failing: set[Replica] = set()  # had failed when it began, so it does not wait for them
        self._ticked_at: float | None = None
        self._stopped = threading.Event()
        self._first = threading.Event()  # the first replica is ready, or all have failed
        self._thread = threading.Thread(target=self._main, name="supervisor", daemon=True)

    # ------------------------------------------------------------------------------------------------------ lifetime

    def start(self) -> None:
        """Starts the replicas, and the thread that watches them."""
        self.tick()
        self._thread.start()

    def wait_ready(self, timeout_s: float = MAX_START_S) -> str:
        """Waits for the first replica that is ready. Returns "", or why the first attempts have all failed."""
        self._first.wait(timeout_s)
        return self.fleet.problem()

    def stop(self) -> None:
        """Ends every request, then every replica."""
        self._stopped.set()
        self.fleet.close()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            for replica in list(self.fleet.replicas.values()):
                self._remove(replica)

    def close(self) -> None:
        """As `stop`, and closes the launcher."""
        self.stop()
        self._launcher.close()

    # ------------------------------------------------------------------------------------------------------- control

    def tick(self) -> None:
        """Compares what there is with what there should be. Called by the thread twice a second."""
        wanted = self._launcher.wanted()
        with self._lock:
            self._excuse_delay()
            self._adapt(wanted)
            for replica in list(self.fleet.replicas.values()):
                self._check(replica)
            self._restart_next()
            self.fleet.tick()

    def drain(self, name: str) -> None:
        """The replica finishes its images, gets no others, ends, and is started again."""
        with self._lock:
            replica = self.fleet.replicas.get(name)
            if replica is not None and replica.state == "ready":
                self._set(replica, "draining")
                log.warning("Replica %s finishes its %d pictures and starts again.", name, len(replica.images))

    def restart_all(self) -> None:
        """Drains one replica after another, each once the one before is ready again, so that the others go on. Those
        that have failed and are not ready are started anew anyway; it does not wait for them."""
        with self._lock:
            replicas = self.fleet.replicas.values()
            self._failing = {each for each in replicas if each.failures and each.state != "ready"}
            self._to_restart = [each for each in replicas if each not in self._failing]

    def fail(self, replica: Replica, reason: str) -> None:
        """Ends a process that does not do what it should."""
        with self._lock:
            process, replica.process = replica.process, None
            if process is None:
                return
            process.kill()
            well_until = replica.worked_at if replica.images else self._clock()
            if replica.state != "starting" and well_until - replica.since >= MAX_RESTART_S:
                replica.failures = 0
            replica.failures += 1
            replica.reason = reason
            delay_s = min(MAX_RESTART_S, MIN_RESTART_S * 2 ** (replica.failures - 1))
            replica.restart_at = self._clock() + delay_s
            self._set(replica, "down")
            if replica.failures == GIVE_UP_FAILURES:
                log.error("Replica %s is given up: %s. It is tried again every %.0f s.", replica.name, reason, delay_s)
            else:
                log.warning("Replica %s has gone: %s. It starts again in %.0f s.", replica.name, reason, delay_s)
            self.fleet.lose(replica)
            if all(each.failures for each in self.fleet.replicas.values()):
                self._first.set()

    # ------------------------------------------------------------------------------------------------ under the lock

    def _excuse_delay(self) -> None:
        """Time in which this process was held up does not count as a replica's silence."""
        now = self._clock()
        last, self._ticked_at = self._ticked_at, now
        if delay_s := held_up_s(last, now):
            for replica in self.fleet.replicas.values():
                replica.heard_at = min(now, replica.heard_at + delay_s)
                replica.worked_at = min(now, replica.worked_at + delay_s)

    def _adapt(self, wanted: int) -> None:
        """Adds replicas, or retires those that are not running, then the newest."""
        present = [each for each in self.fleet.replicas.values() if each not in self._retired]
        for _ in range(wanted - len(present)):
            self._count += 1
            name = str(self._count)
            self.fleet.replicas[name] = Replica(name, self.fleet.max_batch_size, restart_at=self._clock())
        surplus = sorted(present, key=lambda each: (each.state == "ready", -int(each.name)))[
            : max(0, len(present) - wanted)
        ]
        for replica in surplus:
            self._retired.add(replica)
            log.warning("Replica %s is no longer wanted: it ends when its pictures are finished.", replica.name)
            if replica.state == "ready":
                self._set(replica, "draining")

    def _check(self, replica: Replica) -> None:
        now = self._clock()
        match replica.state:
            case "down" if replica in self._retired:
                self._remove(replica)
            case "down" if now >= replica.restart_at:
                self._launch(replica)
            case "starting" if replica in self._retired:
                self._remove(replica)
            case "starting" if now - replica.since > MAX_START_S:
                self.fail(replica, START_REASON.format(minutes=MAX_START_S / 60))
            case "draining" if not replica.images and replica.reason and replica not in self._retired:
                self.fail(replica, replica.reason.rstrip("."))  # its engine has stopped
            case "draining" if not replica.images:
                self._end_drained(replica)
            case "ready" | "draining" if (silent_s := replica.frozen_for(now)) is not None:
                self.fail(replica, f"it was frozen: no news in {silent_s:.0f} s")

    def _launch(self, replica: Replica) -> None:
        self._set(replica, "starting")
        replica.step_seconds, replica.memory = {}, {}
        listener = _Listener(self, replica)
        replica.process = listener.process = self._launcher.launch(replica.name, listener)

    def _end_drained(self, replica: Replica) -> None:
        process, replica.process = replica.process, None
        if process is not None:
            process.kill()
        if replica in self._retired:
            self._remove(replica)
        else:
            replica.restart_at = self._clock()
            self._set(replica, "down")

    def _remove(self, replica: Replica) -> None:
        process, replica.process = replica.process, None
        if process is not None:
            process.kill()
        self._retired.discard(replica)
        self.fleet.replicas.pop(replica.name, None)

    def _restart_next(self) -> None:
        replicas = self.fleet.replicas.values()
        if self._to_restart and all(each.state == "ready" or each in self._failing for each in replicas):
            self.drain(self._to_restart.pop(0).name)

    def _set(self, replica: Replica, state: str) -> None:
        replica.state = state  # type: ignore[assignment]
        replica.since = self._clock()

    def _main(self) -> None:
        while not self._stopped.wait(TICK_INTERVAL_S):
            try:
                self.tick()
            except Exception:
                log.exception("The replicas could not be checked.")

    # ---------------------------------------------------------------------------------------------------- from outside

    def _ready(self, replica: Replica, description: ReplicaDescription) -> None:
        if description.version != __version__:
            self.fail(replica, VERSION_REASON.format(theirs=description.version, ours=__version__))
            return
        replica.description, replica.reason = description, ""
        replica.heard_at = replica.worked_at = self._clock()
        self._set(replica, "ready")
        self._first.set()
        log.warning("Replica %s is ready on %s: %s", replica.name, description.machine, description.reason)
        self.fleet.dispatch()


class _Listener:
    """Passes on what one process reports, as long as it is the replica's present one."""

    def __init__(self, supervisor: Supervisor, replica: Replica) -> None:
        self.process: ReplicaProcess | None = None
        self._supervisor = supervisor
        self._replica = replica

    def ready(self, description: ReplicaDescription) -> None:
        self._when_present(lambda: self._supervisor._ready(self._replica, description))

    def report(self, report: Report) -> None:
        self._when_present(lambda: self._supervisor.fleet.receive(self._replica, report))

    def ended(self, reason: str) -> None:
        self._when_present(lambda: self._supervisor.fail(self._replica, reason))

    def _when_present(self, act: Callable[[], None]) -> None:
        with self._supervisor.fleet.lock:
            if self.process is not None and self._replica.process is self.process:
                act()


def held_up_s(last: float | None, now: float) -> float:
    """Seconds by which what is done every TICK_INTERVAL_S is late, if it was done `last`; 0 up to MAX_TICK_DELAY_S."""
    delay_s = 0.0 if last is None else now - last - TICK_INTERVAL_S
    return delay_s if delay_s > MAX_TICK_DELAY_S else 0.0
