"""The engine in numbers, as Prometheus reads them: a Watch that counts.

No number carries a person, a prompt or an id: the only labels are stages and kinds of ends. Rates (steps or pictures a
second) are what a reader makes of the counters. Does not know the network, or torch: memory is told by a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from wuerst_demo.engine.watch import End, Told, Trouble, Work

WAITS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
TURNS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8)
"""Upper bounds of the histograms' buckets, in seconds."""
FILLS = tuple(eighth / 8 for eighth in range(1, 9))


class Metrics:
    """Counts, in a registry of its own, from when it was made. The methods of `Watch` may come from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        of = self._registry
        self._came = Counter("wuerst_requests_submitted", "Requests, those that were not let in too.", registry=of)
        self._ends = Counter("wuerst_requests_ended", "Requests by how they ended.", ["end"], registry=of)
        self._waits = Histogram(
            "wuerst_queue_wait_seconds",
            "From a request's coming to the first turn for it; counted when it has ended.",
            buckets=WAITS,
            registry=of,
        )
        self._firsts = Histogram(
            "wuerst_first_picture_seconds",
            "From a request's coming to its first picture; counted when it has ended.",
            buckets=WAITS,
            registry=of,
        )
        self._turns = Histogram(
            "wuerst_turn_seconds", "Turns at the device, by stage.", ["stage"], buckets=TURNS, registry=of
        )
        self._steps = Counter(
            "wuerst_row_steps", "Evaluations by stage, each row of a shared one counted.", ["stage"], registry=of
        )
        self._fills = Histogram(
            "wuerst_batch_fill",
            "Rows of a forward pass, as a share of those that were admitted together.",
            ["stage"],
            buckets=FILLS,
            registry=of,
        )
        self._troubles = Counter(
            "wuerst_errors",
            "Turns that ran out of memory or had a fault, and pictures that could not be shown.",
            ["kind"],
            registry=of,
        )
        # What has not happened yet is 0, not missing: a rule that warns of it can be tried before it does.
        for end in get_args(End):
            self._ends.labels(end)
        for stage in get_args(Work):
            self._turns.labels(stage)
            self._steps.labels(stage)
        for stage in ("prior", "decoder"):
            self._fills.labels(stage)
        for trouble in get_args(Trouble):
            self._troubles.labels(trouble)

    # ------------------------------------------------------------------------------------------------ what is told

    def came(self) -> None:
        self._came.inc()

    def worked(self, work: Work, rows: int, room: int, seconds: float) -> None:
        self._turns.labels(work).observe(seconds)
        self._steps.labels(work).inc(rows)
        if work in ("prior", "decoder"):  # the others go one by one, however many there are
            self._fills.labels(work).observe(rows / room)

    def stumbled(self, trouble: Trouble) -> None:
        self._troubles.labels(trouble).inc()

    def ended(self, told: Told) -> None:
        self._ends.labels(told.end).inc()
        if told.waited is not None:
            self._waits.observe(told.waited)
        if told.first is not None:
            self._firsts.observe(told.first)

    # ------------------------------------------------------------------------------------------------ what is asked

    def ask(self, standing: Callable[[], Mapping[str, int]], memory: Callable[[], Mapping[str, float]]) -> None:
        """Adds what is looked up each time the numbers are read: rows by where they stand, and memory, in bytes, by
        whose it is."""
        self._registry.register(_Asked(standing, memory))

    def text(self) -> bytes:
        """All numbers in Prometheus' text format, in UTF-8."""
        return generate_latest(self._registry)


class _Asked(Collector):
    """Gauges whose values come from functions."""

    def __init__(self, standing: Callable[[], Mapping[str, int]], memory: Callable[[], Mapping[str, float]]) -> None:
        self._standing = standing
        self._memory = memory

    def collect(self) -> Iterator[GaugeMetricFamily]:
        rows = GaugeMetricFamily("wuerst_rows", "Pictures that are not drawn yet, by where they stand.", labels=["at"])
        found = self._standing()
        for at in ("waiting", "prior", "decoder", "vqgan"):
            rows.add_metric([at], found.get(at, 0))
        yield rows
        memory = GaugeMetricFamily("wuerst_memory_bytes", "Memory in use, by whose it is.", labels=["of"])
        for of, size in self._memory().items():
            memory.add_metric([of], size)
        yield memory
