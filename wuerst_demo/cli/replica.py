"""What a replica does first, on its own machine: resolve the checkpoint, load it, describe itself."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from wuerst_demo import __version__
from wuerst_demo.fleet.server import LoadedReplica
from wuerst_demo.fleet.wire import ReplicaDescription
from wuerst_demo.placement_options import PlacementOptions


@dataclass(frozen=True)
class CheckpointNames:
    """A checkpoint as it was requested: Hub names with their revision, or folders, which every machine has."""

    model: str | None
    prior: str | None
    vqgan: str | None
    loras: Sequence[str] = ()


def load_replica(names: CheckpointNames, options: PlacementOptions, threads: int) -> LoadedReplica:
    """Loads a checkpoint as `api.load` does, with so many threads. Raises WuerstError."""
    from wuerst_demo.api import load_checkpoint, open_checkpoint
    from wuerst_demo.cli.info import runtime_summary
    from wuerst_demo.devices.hardware import memory_usage, set_thread_count
    from wuerst_demo.engine.engine import MAX_EXTRA_STEPS_PER_NETWORK
    from wuerst_demo.web.middleware.safe_log import configure_log

    configure_log()
    set_thread_count(threads)
    checkpoint = open_checkpoint(names.model, names.prior, names.vqgan, names.loras, options=options)
    wuerstchen = load_checkpoint(checkpoint, options)
    wuerstchen.warm_up()
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
