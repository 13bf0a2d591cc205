"""Replicas inside the test's process, worked by hand: real servers over fake cascades, in place of Ray's actors."""

from __future__ import annotations

from dataclasses import replace

from tests.engine.clients import Clock, results
from tests.fakes.cascade import FakeCascade, painted
from wuerst_demo import __version__
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.fleet.server import LoadedReplica, ReplicaServer
from wuerst_demo.fleet.supervisor import Supervisor
from wuerst_demo.fleet.wire import ReplicaDescription


def pixels(images):
    return [image.tobytes() for image in images]


def pictures(ticket):
    """Pixels of all images of a ticket, in their order."""
    return pixels(result.image for result in sorted(results(ticket), key=lambda result: result.index))


def expected(request):
    """As `pictures`, of one device."""
    return pixels(painted(request.image(k)) for k in range(request.images))


class LocalProcess:
    """A replica that works when a test says so, until it is killed or frozen."""

    def __init__(self, name, listener, cascade, max_batch_size, version=__version__):
        self.name, self.listener, self.cascade = name, listener, cascade
        self.killed = self.frozen = self.described = False
        self.jobs = []
        runtime = {"Checkpoint": "a replica's name for it", "Data type": "float32"}
        description = ReplicaDescription("cpu", "the CPU", f"machine {name}", version, runtime)
        self.server = ReplicaServer(lambda: LoadedReplica(cascade, description), max_batch_size)

    def submit(self, job):
        self.jobs.append(job)
        if not self.killed:
            self.server.submit(job)

    def cancel(self, job_id):
        self.server.cancel(job_id)

    def kill(self):
        self.killed = True

    def work(self):
        """One step, or loading, and a report. Returns whether there was something to do."""
        if self.killed or self.frozen:
            return False
        if not self.described:
            self.described = True
            self.listener.ready(self.server.load())
            return True
        busy = self.server.engine.step()
        self.listener.report(replace(self.server.collect(), problem=""))
        return busy

    def die(self, reason="the process has ended"):
        self.killed = True
        self.listener.ended(reason)


class LocalLauncher:
    """Launches `LocalProcess`es; `processes` has all of them, those that have ended included."""

    def __init__(self, count, cascade=FakeCascade, max_batch_size=8):
        self.count, self.make_cascade, self.max_batch_size = count, cascade, max_batch_size
        self.processes, self.version, self.closed = [], __version__, False

    def wanted(self):
        return self.count

    def launch(self, name, listener):
        process = LocalProcess(name, listener, self.make_cascade(), self.max_batch_size, self.version)
        self.processes.append(process)
        return process

    def close(self):
        self.closed = True

    @property
    def running(self):
        return [each for each in self.processes if not each.killed]


class LocalFleet:
    """A fleet of local replicas with a clock; ready unless `ready` is false."""

    def __init__(self, count, cascade=FakeCascade, ready=True, max_batch_size=8, **options):
        self.clock, self.tickets = Clock(), []
        self.launcher = LocalLauncher(count, cascade, max_batch_size)
        self.fleet = Fleet(clock=self.clock, max_batch_size=max_batch_size, **options)
        self.supervisor = Supervisor(self.fleet, self.launcher)
        self.supervisor.tick()
        if ready:
            self.work(1)

    def submit(self, request, session):
        """A ticket, which is kept: a request whose ticket is lost is abandoned."""
        self.tickets.append(self.fleet.submit(request, session))
        return self.tickets[-1]

    def submit_when_ready(self, request, session):
        """As `submit`, after working until a replica is ready."""
        while self.fleet.problem():
            self.work(1)
            self.supervisor.tick()
        return self.submit(request, session)

    def work(self, rounds):
        """Steps of every replica, a tenth of a second each."""
        for _ in range(rounds):
            self.clock.advance(0.1)
            for process in list(self.launcher.processes):
                process.work()

    def finish(self, rounds=500):
        """Work until no request is unfinished."""
        for _ in range(rounds):
            if not self.fleet.stage_counts.total():
                return
            self.work(1)
            self.supervisor.tick()
        raise AssertionError("the fleet does not finish")

    def pass_time(self, seconds):
        """Time in which replicas that are alive report that, and the supervisor looks after them."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            for process in self.launcher.running:
                if process.described and not process.frozen:
                    process.listener.report(replace(process.server.collect(), problem=""))
            self.supervisor.tick()
