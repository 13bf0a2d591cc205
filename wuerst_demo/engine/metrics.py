"""Prometheus metrics of an engine: an observer that counts. The only labels are stages and kinds of ends and errors.

Rates, such as steps a second, are computed by the reader from the counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from wuerst_demo.engine.observer import EngineObserver, ErrorKind, RequestEnd, RequestOutcome, WorkStage

WAIT_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
STEP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8)
BATCH_FILL_BUCKETS = tuple(eighth / 8 for eighth in range(1, 9))
"""Upper bounds of the histograms' buckets."""


class Metrics(EngineObserver):
    """Metrics since this object was made, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._requests = counter("wuerst_requests_submitted", "Requests submitted, including rejected ones.")
        self._ends = counter("wuerst_requests_ended", "Requests by how they ended.", ["end"])
        waits = "Time from submission to {}; observed when the request ends."
        self._waits = histogram("wuerst_queue_wait_seconds", waits.format("the first step"), buckets=WAIT_BUCKETS_S)
        self._first_images = histogram(
            "wuerst_first_picture_seconds", waits.format("the first finished image"), buckets=WAIT_BUCKETS_S
        )
        self._steps = histogram("wuerst_turn_seconds", "Engine steps by stage.", ["stage"], buckets=STEP_BUCKETS_S)
        self._image_steps = counter(
            "wuerst_row_steps", "Evaluations by stage; each image of a batch counts.", ["stage"]
        )
        fills = "Images in a forward pass as a share of the largest batch."
        self._fills = histogram("wuerst_batch_fill", fills, ["stage"], buckets=BATCH_FILL_BUCKETS)
        errors = "Steps that ran out of memory or had a fault, and images that cannot be shown."
        self._errors = counter("wuerst_errors", errors, ["kind"])
        # Every label exists from the start with the value 0, so that alerting rules can be tried out.
        for end in get_args(RequestEnd):
            self._ends.labels(end)
        for stage in get_args(WorkStage):
            self._steps.labels(stage)
            self._image_steps.labels(stage)
        for stage in ("prior", "decoder"):
            self._fills.labels(stage)
        for kind in get_args(ErrorKind):
            self._errors.labels(kind)

    def submitted(self) -> None:
        self._requests.inc()

    def stepped(self, stage: WorkStage, images: int, max_images: int, seconds: float) -> None:
        self._steps.labels(stage).observe(seconds)
        self._image_steps.labels(stage).inc(images)
        if stage in ("prior", "decoder"):  # the others are never batched
            self._fills.labels(stage).observe(images / max_images)

    def erred(self, kind: ErrorKind) -> None:
        self._errors.labels(kind).inc()

    def ended(self, outcome: RequestOutcome) -> None:
        self._ends.labels(outcome.end).inc()
        if outcome.first_step_s is not None:
            self._waits.observe(outcome.first_step_s)
        if outcome.first_image_s is not None:
            self._first_images.observe(outcome.first_image_s)

    def add_gauges(
        self, stage_counts: Callable[[], Mapping[str, int]], memory_bytes: Callable[[], Mapping[str, float]]
    ) -> None:
        """Adds gauges that are evaluated at each reading: unfinished images by stage, and memory in use by owner."""
        self._registry.register(_GaugeCollector(stage_counts, memory_bytes))

    def register(self, collector: Collector) -> None:
        """Adds metrics that are evaluated at each reading."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format, in UTF-8."""
        return generate_latest(self._registry)


class _GaugeCollector(Collector):
    def __init__(
        self, stage_counts: Callable[[], Mapping[str, int]], memory_bytes: Callable[[], Mapping[str, float]]
    ) -> None:
        self._stage_counts = stage_counts
        self._memory_bytes = memory_bytes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        images = GaugeMetricFamily("wuerst_rows", "Unfinished images by stage.", labels=["at"])
        counts = self._stage_counts()
        for stage in ("waiting", "prior", "decoder", "vqgan"):
            images.add_metric([stage], counts.get(stage, 0))
        yield images
        memory = GaugeMetricFamily("wuerst_memory_bytes", "Memory in use by owner.", labels=["of"])
        for owner, size_bytes in self._memory_bytes().items():
            memory.add_metric([owner], size_bytes)
        yield memory
