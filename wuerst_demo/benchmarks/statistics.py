"""Throughput, latency and fairness of a load test."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class ClientLatency:
    """Times of one client's image, in seconds."""

    client: int
    preview_s: float | None  #: From arrival to the first preview; None without one.
    image_s: float  #: From arrival to the finished image.
    finished_at_s: float  #: From the start of the run to the finished image.
    oldest_s: float | None = None  #: Age of the oldest preview when it was read; None where unknown.


@dataclass(frozen=True)
class LoadRun:
    """All clients served once by one method."""

    latencies: Sequence[ClientLatency]
    peak_bytes: int  #: Peak memory above the memory after loading.
    processor_s: float  #: CPU seconds, all threads together.

    @property
    def throughput(self) -> float:
        """Images per second, from the start to the last image."""
        return len(self.latencies) / max(each.finished_at_s for each in self.latencies)

    @property
    def previews_s(self) -> list[float]:
        return [each.preview_s for each in self.latencies if each.preview_s is not None]


def summarize(runs: Sequence[LoadRun]) -> dict[str, Any]:
    """Plain data: medians over runs; latencies over all clients of all runs. The last preview of a run is the slowest
    client's, and None unless every client got one."""
    images = [each.image_s for run in runs for each in run.latencies]
    previews = [preview for run in runs for preview in run.previews_s]
    return {
        "pictures_per_s": median(run.throughput for run in runs),
        "preview_median_s": median(previews) if previews else None,
        "preview_p95_s": percentile(previews, 0.95) if previews else None,
        "preview_last_s": median(max(run.previews_s) for run in runs) if len(previews) == len(images) else None,
        "picture_median_s": median(images),
        "picture_p95_s": percentile(images, 0.95),
        "picture_last_s": median(max(each.image_s for each in run.latencies) for run in runs),
        "processor_s_per_picture": median(run.processor_s / len(run.latencies) for run in runs),
        "fairness": median(jain_index([1 / each.image_s for each in run.latencies]) for run in runs),
        "peak_bytes": max(run.peak_bytes for run in runs),
    }


def jain_index(shares: Sequence[float]) -> float:
    """Jain's fairness index of positive shares: 1 if all are equal, 1/n if one of n has everything.

    Source: Jain, Chiu and Hawe, "A Quantitative Measure of Fairness and Discrimination", DEC-TR-301, 1984.
    """
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def percentile(numbers: Sequence[float], share: float) -> float:
    """The smallest of the numbers that at least `share` of them do not exceed (nearest rank)."""
    return sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)]
