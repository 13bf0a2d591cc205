"""The fleet of a page: how it is started from the settings, and what it is for the page."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wuerst_demo.api import CheckpointNames
from wuerst_demo.checkpoints.lora_file import pin_lora
from wuerst_demo.cli.replica import start_replica
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.errors import PlacementError, SettingsError
from wuerst_demo.fleet import status
from wuerst_demo.fleet.fleet import Fleet
from wuerst_demo.fleet.supervisor import Supervisor
from wuerst_demo.fleet.wire import ReplicaDescription
from wuerst_demo.settings import Settings

if TYPE_CHECKING:
    from wuerst_demo.checkpoints.manifest import ResolvedCheckpoint


@dataclass(frozen=True)
class RunningFleet:
    """A fleet with a replica that is ready."""

    fleet: Fleet
    supervisor: Supervisor
    metrics: Metrics
    description: ReplicaDescription
    """Of the first one."""
    runtime: Mapping[str, str]
    """For the foot of the page, as `runtime_summary`."""


def check_fleet(settings: Settings) -> None:
    """Raises SettingsError for what a fleet cannot do, before anything is loaded."""
    from wuerst_demo.fleet.ray_cluster import check_installed

    check_installed()
    if settings.device.startswith("cuda:"):
        raise SettingsError("Each replica has a GPU of its own: give --device cuda without a number.")
    if settings.device == "mps":
        raise SettingsError("Ray knows no Apple GPUs: leave --replicas and --ray out, or give --device cpu.")


def replica_names(settings: Settings, checkpoint: ResolvedCheckpoint) -> CheckpointNames:
    """What replicas load: of repositories on the Hub the very revisions that the page describes, and folders as they
    were given. A Space may have chosen another model than the default."""
    model, prior, vqgan = (
        f"{network.source.name}@{network.revision}" if network.revision else None
        for network in (checkpoint.decoder, checkpoint.prior, checkpoint.vqgan)
    )
    return CheckpointNames(
        model or settings.model,
        prior or settings.prior,
        settings.vqgan and (vqgan or settings.vqgan),  # by default the one in the model's repository
        tuple(pin_lora(text, lora.revision) for text, lora in zip(settings.lora, checkpoint.loras, strict=True)),
    )


def start_fleet(settings: Settings, checkpoint: ResolvedCheckpoint, grace_s: float, keep_s: float) -> RunningFleet:
    """Starts the replicas and waits for the first. Raises SettingsError, or PlacementError if none can be started."""
    from wuerst_demo.cli.info import checkpoint_line
    from wuerst_demo.fleet.driver_launcher import start_driver
    from wuerst_demo.fleet.ray_cluster import FleetOptions
    from wuerst_demo.web.middleware.safe_log import configure_log

    count = None if settings.replicas in (None, "auto") else int(settings.replicas or 0)
    launcher = start_driver(FleetOptions(count, settings.ray or "", settings.device), configure_log)
    launcher.load = partial(start_replica, replica_names(settings, checkpoint), settings.placement)
    metrics = Metrics()
    fleet = Fleet(grace_s=grace_s, keep_s=keep_s, observer=metrics)
    supervisor = Supervisor(fleet, launcher)
    supervisor.start()
    if problem := supervisor.wait_ready():
        supervisor.close()
        raise PlacementError(f"No replica could be started: {problem.rstrip('.')}.")
    metrics.add_gauges(lambda: fleet.stage_counts, dict)
    metrics.register(status.FleetCollector(fleet))
    description = next(each.description for each in fleet.replicas.values() if each.description)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda *_: supervisor.restart_all())
    # The page's own line: replicas are given each part of the checkpoint by name, see `replica_names`, and so name it.
    runtime = {**description.runtime, "Checkpoint": checkpoint_line(checkpoint)}
    return RunningFleet(fleet, supervisor, metrics, description, runtime)
