"""What people saw, and what it comes to: how many pictures a second, how long until something shows, how fair.

Pure functions of numbers. Does not know who drew.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Seen:
    """What one person saw: seconds from coming until the first preview (None where none came) and until the picture,
    and, from the start of everything, until the picture (`left`)."""

    person: int
    preview: float | None
    picture: float
    left: float


@dataclass(frozen=True)
class Round:
    """One crowd served once: what each saw, the most memory meanwhile, in bytes above that after loading, and the
    seconds that the processor worked for it, all threads together."""

    seen: Sequence[Seen]
    memory: int
    processor: float

    @property
    def rate(self) -> float:
        """Pictures a second, from the start until the last one is there."""
        return len(self.seen) / max(seen.left for seen in self.seen)

    @property
    def fairness(self) -> float:
        """Jain's index of the people's speeds, a person's being one picture over the time they waited for it."""
        return jain([1 / seen.picture for seen in self.seen])

    @property
    def last_preview(self) -> float | None:
        """When the last of the people saw something, seconds after coming; None where anybody saw no preview."""
        previews = [seen.preview for seen in self.seen if seen.preview is not None]
        return max(previews) if len(previews) == len(self.seen) else None


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Plain data: medians over rounds, but times until something shows over everybody in all rounds."""
    seen = [each for round in rounds for each in round.seen]
    previews = [each.preview for each in seen if each.preview is not None]
    pictures = [each.picture for each in seen]
    lasts = [round.last_preview for round in rounds]
    known = [last for last in lasts if last is not None]
    return {
        "pictures_per_s": statistics.median(round.rate for round in rounds),
        "preview_median_s": statistics.median(previews) if previews else None,
        "preview_p95_s": percentile(previews, 0.95) if previews else None,
        "preview_last_s": statistics.median(known) if len(known) == len(lasts) else None,
        "picture_median_s": statistics.median(pictures),
        "picture_p95_s": percentile(pictures, 0.95),
        "picture_last_s": statistics.median(max(each.picture for each in round.seen) for round in rounds),
        "processor_s_per_picture": statistics.median(round.processor / len(round.seen) for round in rounds),
        "fairness": statistics.median(round.fairness for round in rounds),
        "peak_bytes": max(round.memory for round in rounds),
    }


def jain(shares: Sequence[float]) -> float:
    """Jain's index of positive shares: 1 where all are equal, 1/n where one of n has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def percentile(numbers: Sequence[float], share: float) -> float:
    """The smallest of the numbers that `share` of them do not exceed."""
    return sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)]
