"""What a replica does first, on its own machine: load the checkpoint and describe itself."""

from __future__ import annotations

import platform
from functools import partial
from typing import TYPE_CHECKING

from wuerst_demo import __version__
from wuerst_demo.fleet.server import LoadedReplica
from wuerst_demo.fleet.wire import ReplicaDescription
from wuerst_demo.placement_options import PlacementOptions

if TYPE_CHECKING:
    from wuerst_demo.api import CheckpointNames


def start_replica(names: CheckpointNames, options: PlacementOptions, threads: int) -> LoadedReplica:
    """Loads a checkpoint with so many threads: Hub names with their revision, or folders, which every machine has.

    Raises WuerstError.
    """
    from wuerst_demo.api import load_replica
    from wuerst_demo.cli.info import runtime_summary
    from wuerst_demo.devices.hardware import memory_usage
    from wuerst_demo.engine.engine import MAX_EXTRA_STEPS_PER_NETWORK
    from wuerst_demo.web.middleware.safe_log import configure_log

    configure_log()
    checkpoint, wuerstchen = load_replica(names, options, threads)
    placement = wuerstchen.placement
    description = ReplicaDescription(
        placement.device, placement.reason, platform.node(), __version__, runtime_summary(checkpoint, placement)
    )
    return LoadedReplica(
        wuerstchen.cascade,
        description,
        partial(memory_usage, placement.device),
        MAX_EXTRA_STEPS_PER_NETWORK if placement.offload == "model" else 0,
    )
