"""Cores: how many this process may use, how replicas share those of a machine, and which machine has one to spare."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")
"""Of a container: microseconds of CPU time, and in how many; it sees its own control group there."""


def core_count() -> int:
    """Cores that this process may use: those that `taskset` or a container gives it, and no more than its quota of CPU
    time, as `docker run --cpus` sets it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such file; no quota, "max"
        quota_us, period_us = map(int, CPU_QUOTA_FILE.read_text().split())
        cores = min(cores, quota_us // period_us)
    return max(1, cores)


def share_cores(resources: Mapping[str, float], on_gpu: bool, replicas: int, machines: int) -> int:
    """Threads of a replica on a machine with these resources of Ray, if there are so many replicas on so many machines:
    those on one machine share its cores evenly."""
    together = min(replicas, int(resources.get("GPU", 0))) if on_gpu else -(-replicas // max(1, machines))
    cores = min(int(resources.get("CPU", 0)), core_count())  # Ray may have been told more, see `connect`
    return max(1, cores // max(1, together))


def choose_machine(nodes: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> str:
    """Id of the machine with the fewest replicas, of those with a core for one more; "" if there is none. Of equal ones
    it is the one with most cores. `counts` are the replicas by machine."""
    open_machines = [
        (counts.get(node["NodeID"], 0), -cores, node["NodeID"])
        for node in nodes
        if node["Alive"] and (cores := node["Resources"].get("CPU", 0.0)) >= counts.get(node["NodeID"], 0) + 1
    ]
    return str(min(open_machines)[-1]) if open_machines else ""
