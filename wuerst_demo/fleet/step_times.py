"""Step times of a whole fleet: what one replica has not measured yet is estimated from what others have."""

from __future__ import annotations

from collections.abc import Mapping

from wuerst_demo.engine.timing import estimate_step_s
from wuerst_demo.fleet.wire import StepSeconds

MAX_KINDS = 256
"""Stages and sizes that are remembered; the least recently measured one is forgotten."""


def merge(known: StepSeconds, measured: StepSeconds) -> StepSeconds:
    """What is known of a fleet, with the newest medians of one of its replicas."""
    older = {key: seconds for key, seconds in known.items() if key not in measured}
    newer = {key: {**known.get(key, {}), **seconds} for key, seconds in measured.items()}
    return dict([*older.items(), *newer.items()][-MAX_KINDS:])


def complete(own: StepSeconds, fleet: StepSeconds) -> StepSeconds:
    """A replica's medians, and for other numbers of samples those of the fleet, as much faster or slower as the replica
    is at the nearest number that it has measured.

    Otherwise a replica that has only had small batches would seem to take proportionally longer for large ones, and
    would never be given one.
    """
    return {key: _complete(own.get(key, {}), seconds) for key, seconds in {**own, **fleet}.items()}


def _complete(own: Mapping[int, float], fleet: Mapping[int, float]) -> Mapping[int, float]:
    if not own:
        return fleet
    completed = dict(own)
    for samples, seconds in fleet.items():
        if samples not in own:
            nearest = min(own, key=lambda each: abs(each - samples))
            completed[samples] = seconds * own[nearest] / estimate_step_s(fleet, nearest)
    return completed
