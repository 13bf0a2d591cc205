"""State of a fleet for people and for monitoring: a line for the page, health as plain data, metrics by replica."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.messages import Message, message


def status_text(fleet: Fleet) -> Message:
    """The replicas in a line: "3 replicas on 2 machines, 1 restarting"."""
    with fleet.lock:
        replicas = list(fleet.replicas.values())
        ready = [each for each in replicas if each.state in ("ready", "draining")]
        machines = {each.machine for each in ready}
    if not replicas:
        return message("none: waiting for a machine")
    text = message("1 replica") if len(ready) == 1 else message("{count} replicas", count=len(ready))
    if len(machines) > 1:
        text = message("{replicas} on {machines} machines", replicas=text, machines=len(machines))
    missing = len(replicas) - len(ready)
    return message("{replicas}, {count} restarting", replicas=text, count=missing) if missing else text


def health(fleet: Fleet) -> dict[str, object]:
    """As `Engine.health`, and "replicas": name, state, machine, device, unfinished images and reason of each."""
    problem = fleet.problem()
    with fleet.lock:
        worked_at = [each.worked_at for each in fleet.replicas.values() if each.steps]
        return {
            "alive": not problem,
            "reason": problem,
            "last_step": round(fleet.clock() - max(worked_at), 3) if worked_at else None,
            "rows": fleet.stage_counts.total(),
            "replicas": [
                {
                    "name": each.name,
                    "state": each.state,
                    "machine": each.machine,
                    "device": each.description.device if each.description else "",
                    "images": len(each.images),
                    "reason": each.reason,
                }
                for each in fleet.replicas.values()
            ],
        }


class FleetCollector(Collector):
    """Metrics of each replica, evaluated at each reading."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily("wuerst_replica_ready", "Whether a replica can generate.", labels=["replica"])
        images = GaugeMetricFamily("wuerst_replica_images", "Unfinished images it has.", labels=["replica"])
        memory = GaugeMetricFamily("wuerst_replica_memory_bytes", "Memory in use.", labels=["replica", "of"])
        steps = CounterMetricFamily("wuerst_replica_steps", "Steps of its engine.", labels=["replica"])
        finished = CounterMetricFamily("wuerst_replica_finished", "Finished images.", labels=["replica"])
        moved = CounterMetricFamily("wuerst_images_moved", "Images that began again on another replica.")
        with self._fleet.lock:
            for each in self._fleet.replicas.values():
                ready.add_metric([each.name], each.state == "ready")
                images.add_metric([each.name], len(each.images))
                steps.add_metric([each.name], each.steps)
                finished.add_metric([each.name], each.finished)
                for owner, size_bytes in each.memory.items():
                    memory.add_metric([each.name, owner], size_bytes)
            moved.add_metric([], self._fleet.moved)
        yield from (ready, images, memory, steps, finished, moved)
