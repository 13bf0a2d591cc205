"""Whether a fleet can generate, and what is said where it cannot: to its clients, and to whoever runs it."""

from __future__ import annotations

from collections.abc import Collection

from wuerst_demo.errors import QueueFull
from wuerst_demo.fleet.replica import Replica

STARTING_MESSAGE = "The machines that generate are starting; try again in a minute."
NO_REPLICA_MESSAGE = "All machines that generate have failed (see the server's log); try again in a minute."
NO_MACHINE_MESSAGE = "No machine that generates is connected at the moment; try again in a minute."
NO_MACHINE_REASON = "the cluster has no GPU at the moment: replicas start when a machine with one joins"


def ready_replicas(replicas: Collection[Replica]) -> list[Replica]:
    return [replica for replica in replicas if replica.state == "ready"]


def check_ready(replicas: Collection[Replica]) -> None:
    """Raises QueueFull, with what a client may know, if no replica is ready."""
    if not replicas:
        raise QueueFull(NO_MACHINE_MESSAGE)
    if not ready_replicas(replicas):
        raise QueueFull(NO_REPLICA_MESSAGE if all(each.failures for each in replicas) else STARTING_MESSAGE)


def unready_reason(replicas: Collection[Replica]) -> str:
    """Why nothing can be generated; "" if a replica is ready."""
    if not replicas:
        return NO_MACHINE_REASON
    if ready_replicas(replicas):
        return ""
    return next((each.reason for each in replicas if each.reason), "no replica has started yet")
