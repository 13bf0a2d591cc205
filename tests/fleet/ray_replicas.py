"""A replica with a simulated device, and a page's process, for tests of the Ray transport. Actors import it too."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from dataclasses import dataclass

from tests.fakes.cascade import FakeCascade
from wuerst_demo import __version__
from wuerst_demo.errors import PlacementError
from wuerst_demo.fleet.driver_launcher import start_driver
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.fleet.ray_cluster import FleetOptions
from wuerst_demo.fleet.server import LoadedReplica
from wuerst_demo.fleet.supervisor import Supervisor
from wuerst_demo.fleet.wire import ReplicaDescription


@dataclass(frozen=True)
class Simulated:
    """Loads a fake cascade whose steps take `step_s`; the reason names the process and its threads."""

    step_s: float = 0.02
    failure: str = ""

    def __call__(self, threads):
        if self.failure:
            raise PlacementError(self.failure)
        reason = f"{os.getpid()} {threads} {os.environ.get('OMP_NUM_THREADS')}"
        cascade = FakeCascade(between=lambda: time.sleep(self.step_s))
        return LoadedReplica(cascade, ReplicaDescription("cpu", reason, platform.node(), __version__))


def start(replicas, load=None, **options):
    """A fleet on Ray, which starts on this machine; `supervisor.close` ends it."""
    return supervise(start_driver(FleetOptions(replicas, device="cpu")), load or Simulated(), **options)


def supervise(launcher, load, **options):
    """A fleet over a launcher."""
    launcher.load = load
    fleet = Fleet(**options)
    supervisor = Supervisor(fleet, launcher)
    supervisor.start()
    return fleet, supervisor


def pid_of(replica):
    return int(replica.description.reason.split()[0])


if __name__ == "__main__":  # a page's process, which is killed by a test
    from tests.fleet import ray_replicas  # which Ray's processes can import

    fleet, supervisor = ray_replicas.start(1)
    assert supervisor.wait_ready() == ""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(600)
