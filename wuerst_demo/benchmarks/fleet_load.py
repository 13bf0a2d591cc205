"""The same crowd served by fleets of several sizes: on simulated devices, and on this machine's with a checkpoint.

"page" is the engine in this process, with one device, for comparison.
"""

from __future__ import annotations

import itertools
import math
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

from wuerst_demo import __version__
from wuerst_demo.api import CheckpointNames, load_replica
from wuerst_demo.benchmarks import diffusers_baseline, workload
from wuerst_demo.benchmarks.measure import write_line
from wuerst_demo.benchmarks.simulated_device import SHORT_STEP_SHARE, LoadSimulated, preview_age_s
from wuerst_demo.benchmarks.statistics import LoadRun, summarize
from wuerst_demo.devices.hardware import cpu_name
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.interface import DEFAULT_MAX_BATCH_SIZE
from wuerst_demo.engine.observer import EngineObserver, WorkStage
from wuerst_demo.errors import PlacementError
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.fleet.machine_cores import core_count
from wuerst_demo.fleet.server import LoadedReplica
from wuerst_demo.fleet.supervisor import Supervisor
from wuerst_demo.fleet.wire import ReplicaDescription
from wuerst_demo.request import Limits, Request
from wuerst_demo.settings import Settings

if TYPE_CHECKING:
    from wuerst_demo.fleet.driver_launcher import DriverLauncher

STEP_S = 0.05
"""A step of the simulated device."""
PAGE_STEP_S = 0.25
"""The same, of many in one process."""
_HEADER = (
    "\nSeconds from arrival to the first preview and to the image: median and p95. Jain's index of their rates.\n"
    "Of best: this p95 for that of full batches without a pause. Processor: of this process, as a share of one core;\n"
    "per event: the same for an image's step. Oldest: the greatest age of a preview when it is read.\n\n"
    f"{'':<22}{'images/s':>10}{'preview':>9}{'p95':>8}{'image':>8}{'p95':>8}{'of best':>9}{'Jain':>7}"
    f"{'processor':>11}{'per event':>11}{'events/s':>10}{'oldest':>8}"
)


@dataclass
class _EventCounter(EngineObserver):
    """Counts the steps of images."""

    events: int = 0

    def stepped(self, stage: WorkStage, images: int, max_images: int, seconds: float) -> None:
        self.events += images


@dataclass(frozen=True)
class LoadCheckpoint:
    """Loads a replica with the checkpoint of the settings, as `fleet.ray_cluster` asks for one. Raises WuerstError."""

    settings: Settings

    def __call__(self, threads: int) -> LoadedReplica:
        given = self.settings
        names = CheckpointNames(given.model, given.prior, given.vqgan, given.lora)
        _, wuerstchen = load_replica(names, given.placement, threads)
        placement = wuerstchen.placement
        description = ReplicaDescription(placement.device, placement.reason, platform.node(), __version__)
        return LoadedReplica(wuerstchen.cascade, description)


@dataclass(frozen=True)
class CrowdPlan:
    """Crowds that fleets serve."""

    replicas: Sequence[int]
    """Sizes of the fleets."""
    people: Sequence[int]
    """Users who come at once."""
    images_each: int
    """Images that each of them requests, one after another."""
    repeat: int
    """Runs of each crowd."""


def measure_page(plan: CrowdPlan) -> dict[str, Any]:
    """As `measure`, with all simulated replicas in one process without Ray: what the page's process takes with more of
    them than fit on this machine as actors."""
    from wuerst_demo.benchmarks import simulated_driver
    from wuerst_demo.fleet.driver_launcher import DriverLauncher
    from wuerst_demo.fleet.ray_cluster import FleetOptions

    machine = f"{cpu_name()}, {core_count()} cores; replicas in one process"
    write_line(machine + "\n" + _HEADER)
    launcher = DriverLauncher(FleetOptions(max(plan.replicas)), module=simulated_driver.DRIVER_MODULE)
    try:
        cases = _simulated_side(launcher, PAGE_STEP_S).measure_fleets(plan)
    finally:
        launcher.close()
    return {"machine": machine, "step_s": PAGE_STEP_S, "cases": cases}


def measure(settings: Settings, values: Mapping[str, object], plan: CrowdPlan) -> dict[str, Any]:
    """Runs all cases, prints each as it is finished, and returns plain data. Raises WuerstError.

    The simulated devices serve the crowds of the plan. The checkpoint serves one person with as many of the replicas as
    this process may use cores; `values` override the defaults of its request.
    """
    from wuerst_demo.fleet.driver_launcher import start_driver
    from wuerst_demo.fleet.ray_cluster import FleetOptions

    cores = core_count()
    machine = f"{cpu_name()}, {cores} cores; Ray {metadata.version('ray')}"
    write_line(machine + "\n" + _HEADER)
    launcher = start_driver(FleetOptions(max(plan.replicas), device="cpu"))
    try:
        own = diffusers_baseline.resolve_for_comparison(settings).info.limits.request(
            {"seed": 0, **values, "prompt": "a picture", "images": 1}
        )
        write_line(f"the checkpoint, {own.width} x {own.height}, {own.prior_steps} + {own.decoder_steps} steps")
        loaded = _Side(LoadCheckpoint(settings), own, launcher)
        # First: what a fleet of many leaves behind would slow these.
        few = [count for count in plan.replicas if count <= cores]
        own_cases = loaded.measure(replace(plan, replicas=few, people=[1]), cores)
        cases = _simulated_side(launcher, STEP_S).measure(plan, cores)
        write_line("\n".join(["", *_format_ratios(cases)]))
    finally:
        launcher.close()
    return {"machine": machine, "step_s": STEP_S, "cases": cases, "checkpoint_cases": own_cases}


@dataclass(frozen=True)
class _Side:
    """A kind of device, and what is requested of it."""

    load: Callable[[int], LoadedReplica]
    request: Request
    launcher: DriverLauncher
    best_p95_s: Callable[[int, int], float] | None = None
    """By devices and people, where it is known."""
    age_s: Callable[[bytes], float] | None = None
    """Of a preview, where it is known."""

    def measure(self, plan: CrowdPlan, threads: int) -> list[dict[str, Any]]:
        """Each number of people with the engine in this process, then with fleets of these sizes."""
        cases, pipeline = list[dict[str, Any]](), self.load(threads).pipeline
        for clients in plan.people:
            counter = _EventCounter()
            engine: Engine[Any] = Engine(pipeline, max_images=clients, observer=counter)
            with engine:
                cases.append(self._case("page", 1, clients, engine, counter, plan))
        return cases + self.measure_fleets(plan)

    def measure_fleets(self, plan: CrowdPlan) -> list[dict[str, Any]]:
        """Each number of people with fleets of these sizes."""
        pairs = itertools.product(plan.replicas, plan.people)
        return [self._measure_fleet(count, clients, plan) for count, clients in pairs]

    def _measure_fleet(self, count: int, clients: int, plan: CrowdPlan) -> dict[str, Any]:
        """A fleet of `count` replicas, from its start to its end."""
        self.launcher.resize(count)
        self.launcher.load = self.load
        fleet = Fleet(observer=(counter := _EventCounter()))
        supervisor = Supervisor(fleet, self.launcher)
        supervisor.start()
        try:
            if problem := supervisor.wait_ready():
                raise PlacementError(f"No replica could be started: {problem}.")
            while any(replica.state != "ready" for replica in fleet.replicas.values()):
                time.sleep(0.1)
            return self._case(f"{count} replicas", count, clients, fleet, counter, plan)
        finally:
            supervisor.stop()

    def _case(
        self,
        name: str,
        devices: int,
        clients: int,
        engine: Engine[Any] | Fleet,
        counter: _EventCounter,
        plan: CrowdPlan,
    ) -> dict[str, Any]:
        """One row of the table: so many people, who come at once; one that comes before them is not counted."""
        workload.serve_with_engine(engine, [workload.Arrival(0, 0.0, self.request)])  # measures the steps
        runs, wall_s, processor_s, events = [], 0.0, 0.0, counter.events
        for _ in range(plan.repeat):
            start, cpu = time.perf_counter(), _processor_s()
            arrivals = [workload.Arrival(k, 0.0, self.request.image(k)) for k in range(clients)]
            latencies = workload.serve_with_engine(engine, arrivals, self.age_s, plan.images_each)
            wall_s, processor_s = wall_s + time.perf_counter() - start, processor_s + _processor_s() - cpu
            runs.append(LoadRun(latencies, 0, 0.0))
        found = {
            "name": name,
            "people": clients,
            "images_each": plan.images_each,
            **summarize(runs),
            "best_p95_s": self.best_p95_s(devices, clients) if self.best_p95_s else None,
            "oldest_event_s": max((each.oldest_s or 0.0 for run in runs for each in run.latencies), default=0.0),
            "events_per_s": (counter.events - events) / wall_s,
            "wall_s": wall_s,
            "page_cores": processor_s / wall_s,
            "page_s_per_event": processor_s / max(1, counter.events - events),
        }
        write_line(_format_case(found))
        return found


def _simulated_side(launcher: DriverLauncher, step_s: float) -> _Side:
    request = Limits().request({"prompt": "a picture", "seed": 0, "width": 256, "height": 256, "prior_steps": 10})
    write_line(f"\nsimulated device, {step_s:g} s a step, {request.prior_steps} + {request.decoder_steps} steps")
    return _Side(LoadSimulated(step_s), request, launcher, partial(best_p95_s, request, step_s), preview_age_s)


def _format_ratios(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Images a second of each fleet for one of the page's engine, with as many people."""
    page = {case["people"]: case["pictures_per_s"] for case in cases if case["name"] == "page"}
    return [
        f"{case['name']}, {case['people']} people: {case['pictures_per_s'] / page[case['people']]:.2f} times the images"
        " a second of the engine in this process"
        for case in cases
        if case["name"] != "page"
    ]


def best_p95_s(request: Request, step_s: float, devices: int, clients: int) -> float:
    """The p95 of images of clients who come at once, and again, if simulated devices always work on full batches."""
    batch_s = step_s * (request.prior_steps + request.decoder_steps + 2 * SHORT_STEP_SHARE * DEFAULT_MAX_BATCH_SIZE)
    waves = math.ceil(0.95 * clients / (devices * DEFAULT_MAX_BATCH_SIZE))
    return waves * batch_s


def _format_case(found: Mapping[str, Any]) -> str:
    times = [found[name] for name in ("preview_median_s", "preview_p95_s", "picture_median_s", "picture_p95_s")]
    label = f"{found['name']}, {found['people']} people"
    return (
        f"{label:<22}{found['pictures_per_s']:>10.2f}{times[0]:>9.2f}"
        + "".join(f"{each:>8.2f}" for each in times[1:])
        + (f"{found['picture_p95_s'] / found['best_p95_s']:>9.2f}" if found["best_p95_s"] else f"{'':>9}")
        + f"{found['fairness']:>7.3f}"
        + f"{found['page_cores']:>11.2f}{1e6 * found['page_s_per_event']:>8.0f} µs"
        + f"{found['events_per_s']:>10.0f}"
        + (f"{found['oldest_event_s']:>8.2f}" if found["oldest_event_s"] else "")
    )


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
