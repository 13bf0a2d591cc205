"""Replicas as Ray actors, on this machine or on a cluster. The only module that imports ray, and only inside functions.

Each actor is a `ReplicaServer` with one stream of reports. Ray restarts nothing by itself: the supervisor does.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import secrets
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from queue import SimpleQueue
from typing import Any, Protocol

from wuerst_demo.errors import SettingsError, WuerstError
from wuerst_demo.fleet.cluster_probe import NO_TOKEN, probe_cluster
from wuerst_demo.fleet.machine_cores import choose_machine, core_count, share_cores
from wuerst_demo.fleet.reaper import start_reaper
from wuerst_demo.fleet.server import LoadedReplica, ReplicaServer

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 100 * 2**20
"""Finished images on their way to the page."""
INLINE_BYTES = 2**20
"""Reports up to this size, images of the cocktail among them, travel in Ray's messages: through its object store they
take a millisecond longer. Ray's own limit is 100 KB; that of a cluster is set where it is started."""
REPORT_INTERVAL_S, MAX_REPORT_INTERVAL_S = 0.004, 0.25
"""Seconds between two reports of a replica, for each replica there is, and at most: the page reads them all."""
COUNT_INTERVAL_S = 5.0
"""Seconds between two looks at what a cluster has."""
CORES_PER_CPU_REPLICA = 4
"""Cores for each replica where "auto" finds no GPU."""
MIN_RAY_VERSION = (2, 60)
"""Older ones let strangers run programs: CVE-2023-48022, CVE-2025-62593, CVE-2026-27482, CVE-2026-57516."""
NOT_INSTALLED = "--replicas and --ray need Ray: pip install 'wuerst_demo[ray]', or pip install 'ray>=2.60'."
NO_GPU = "Ray sees no CUDA GPU: use --device cpu, or see that nvidia-smi lists one."
NO_GPU_JOINED = "--ray {address}: no GPU has joined: run `ray start` on a machine with one, or use --device cpu."
TOO_OLD = "Ray {found} is too old, --replicas and --ray need 2.60: pip install 'ray>=2.60'."


class NewsListener(Protocol):
    """Is told of an actor, in any thread."""

    def news(self, content: bytes) -> None:
        """Its description once it can generate, then a report, pickled."""

    def ended(self, reason: str) -> None:
        """It has ended, or could not be started; nothing more comes."""


LoadReplica = Callable[[int], LoadedReplica]
"""Loads what a replica generates with, with so many threads of the CPU."""


@dataclass(frozen=True)
class FleetOptions:
    """What was requested."""

    replicas: int | None
    """None for as many as there are GPUs, now and later."""
    address: str = ""
    """HOST:PORT of a cluster; "" for this machine alone."""
    device: str = "auto"
    """auto, cpu or cuda."""


def check_installed() -> None:
    """Raises SettingsError if Ray is missing or too old."""
    try:
        found = metadata.version("ray") if importlib.util.find_spec("ray") else ""
    except metadata.PackageNotFoundError:  # a folder of this name
        found = ""
    if not found:
        raise SettingsError(NOT_INSTALLED)
    if tuple(int(number) for number in re.findall(r"\d+", found)[:2]) < MIN_RAY_VERSION:
        raise SettingsError(TOO_OLD.format(found=found))


def inspect_cluster(address: str, env: Mapping[str, str] = os.environ) -> list[dict[str, Any]]:
    """The machines of a cluster, see `probe_cluster`. Raises SettingsError for one that cannot be joined."""
    check_installed()
    if env.get("RAY_AUTH_MODE") != "token":
        raise SettingsError(NO_TOKEN)
    return probe_cluster(address)


def connect(options: FleetOptions, env: MutableMapping[str, str] = os.environ) -> RayLauncher:
    """Starts Ray on this machine, or joins a cluster. Raises SettingsError, one line, if that cannot work."""
    check_installed()
    env["RAY_USAGE_STATS_ENABLED"] = "0"
    env["RAY_ENABLE_AUTO_CONNECT"] = "0"
    started: dict[str, Any] = {"log_to_driver": True, "logging_level": "error"}
    if options.address:
        inspect_cluster(options.address, env)
        started["address"] = options.address
    else:
        # Ray's ports are open to the network: a secret keeps others out. Ray reads it when it is imported.
        env["RAY_AUTH_MODE"], env["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
        env["RAY_max_direct_call_object_size"] = str(INLINE_BYTES)
        started |= {
            "address": "local",
            "num_cpus": max(core_count(), options.replicas or 1),
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    import ray

    ray.init(**started)
    launcher = RayLauncher(options, None if options.address else start_reaper())
    launcher.check_count()
    return launcher


class RayLauncher:
    """Starts replicas as actors of the Ray that this process is connected to. `load` is set before the first."""

    def __init__(self, options: FleetOptions, reaper: subprocess.Popen[bytes] | None = None) -> None:
        """`reaper`: see `start_reaper`; for the Ray that this process has started."""
        self._reaper = reaper  # as long as this process lives
        self.load: LoadReplica | None = None
        self.max_batch_size = 8
        self._options = options
        self._counted_at = float("-inf")
        self._resources: dict[str, float] = {}
        self._machines = 1  # that have cores: the head of a cluster may have none
        self._placed: set[RayProcess] = set()  # those on CPUs that have not ended
        self._placing = threading.Lock()  # guards it

    def settle_on_gpus(self) -> bool:
        """Whether replicas are on GPUs. The first one that is seen settles it: when it has gone, replicas wait for it,
        and their places are not for the CPU."""
        if self._options.device == "auto" and self._resource("GPU") > 0:
            self._options = replace(self._options, device="cuda")
        return self._options.device == "cuda"

    def check_count(self) -> None:
        """Raises SettingsError if more replicas are requested than there are GPUs."""
        gpus, wanted = int(self._resource("GPU")), self._options.replicas
        if self._options.device == "cuda" and not gpus:
            line = NO_GPU_JOINED if self._options.address else NO_GPU
            raise SettingsError(line.format(address=self._options.address))
        if self.settle_on_gpus() and wanted and wanted > gpus:
            raise SettingsError(f"--replicas {wanted} needs as many GPUs, and there are {gpus}: use --replicas auto.")

    def wanted(self) -> int:
        """The requested number of replicas, or one for each GPU there is now; without GPUs, one for each machine of a
        cluster, or for each CORES_PER_CPU_REPLICA cores of this one."""
        if self._options.replicas:
            return self._options.replicas
        if self.settle_on_gpus():
            return int(self._resource("GPU"))
        cores = int(self._resource("CPU"))  # which counts the machines, too
        return max(1, self._machines if self._options.address else cores // CORES_PER_CPU_REPLICA)

    def resize(self, replicas: int) -> None:
        """Changes the requested number."""
        self._options = replace(self._options, replicas=replicas)

    def launch(self, name: str, listener: NewsListener) -> RayProcess:
        """Starts an actor, and a thread that reads its reports."""
        process = RayProcess()
        threading.Thread(target=self._follow, args=(process, listener), name=f"replica {name}", daemon=True).start()
        return process

    def _resource(self, name: str) -> float:
        """Amount in all machines together, as of the last COUNT_INTERVAL_S."""
        import ray

        if time.monotonic() - self._counted_at >= COUNT_INTERVAL_S:
            self._counted_at = time.monotonic()
            try:
                self._resources = ray.cluster_resources()
                self._machines = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())
            except Exception as error:  # noqa: BLE001 - the head does not answer: what was known stays
                log.warning("Ray's head does not answer: %s", type(error).__name__)
        return float(self._resources.get(name, 0.0))

    def _follow(self, process: RayProcess, listener: NewsListener) -> None:
        import ray

        try:
            assert self.load is not None
            wanted, on_gpu = self.wanted(), self.settle_on_gpus()
            load = partial(load_with_share, self.load, on_gpu, wanted, self._machines)
            if not on_gpu:
                self._place(process)
            process.start(load, self.max_batch_size, on_gpu)
            for reference in process.reports(report_interval_s(wanted)):
                listener.news(ray.get(reference))
            reason = "its process has ended"
        except Exception as error:  # noqa: BLE001 - whatever Ray or the replica raises ends this replica
            reason = process.failure or describe_failure(error)
        with self._placing:
            self._placed.discard(process)
        listener.ended(reason)

    def _place(self, process: RayProcess) -> None:
        """Chooses the machine of a replica on a CPU: the cores of a machine are more than what it asks of Ray, so Ray
        alone would not send it back to the machine that has lost it. A GPU is taken, or it is not."""
        import ray

        with self._placing:
            counts = Counter(each.node_id for each in self._placed if not each.killed)
            process.node_id = choose_machine(ray.nodes(), counts)
            self._placed.add(process)


class RayProcess:
    """An actor. Its commands are sent in order, and those that come while it takes some go together: a call costs a
    millisecond of both processes, whatever it carries."""

    def __init__(self) -> None:
        self.killed = False
        self.failure = ""
        """Why it does not take commands, if that is not because it has ended."""
        self.node_id = ""
        """Of the machine on which it should run; "" for any."""
        self._actor: Any = None
        self._commands: SimpleQueue[bytes | None] = SimpleQueue()

    def start(self, load: Callable[[], LoadedReplica], max_batch_size: int, on_gpu: bool) -> None:
        """Asks Ray for the actor, with the least that finds it a machine: how many cores it may use, it sees there."""
        import ray

        strategy: Any = "SPREAD"
        if self.node_id:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            # Elsewhere if the machine has gone meanwhile, or if others than replicas have taken its cores.
            strategy = NodeAffinitySchedulingStrategy(self.node_id, soft=True, _spill_on_unavailable=True)
        actor_class: Any = ray.remote(ReplicaServer)
        self._actor = actor_class.options(
            num_cpus=0 if on_gpu else 1,
            num_gpus=1 if on_gpu else 0,
            max_concurrency=8,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=strategy,
        ).remote(load, max_batch_size)
        if self.killed:
            self.kill()
        else:
            threading.Thread(target=self._send, name="commands of a replica", daemon=True).start()

    def reports(self, min_interval_s: float) -> Any:
        """References of its description and reports, pickled, as they come."""
        return self._actor.packed_reports.options(num_returns="streaming").remote(min_interval_s)

    def send(self, command: bytes) -> None:
        """Has a pickled `Command` sent."""
        self._commands.put(command)

    def kill(self) -> None:
        import ray

        self.killed = True
        self._commands.put(None)
        if self._actor is not None:
            try:
                ray.kill(self._actor)
            except Exception as error:  # noqa: BLE001 - it has gone already, or Ray has
                log.debug("An actor could not be killed: %s", type(error).__name__)

    def _send(self) -> None:
        import ray
        from ray.exceptions import RayActorError

        try:
            while None not in (commands := self._take_commands()):
                ray.get(self._actor.follow.remote(commands))
        except RayActorError:  # it has gone, or goes now: the reader of its reports is told
            self.kill()
        except Exception as error:  # noqa: BLE001 - a fault, of which that reader would only see the end
            self.failure = describe_failure(error)
            self.kill()

    def _take_commands(self) -> list[bytes | None]:
        """All that wait, at least one; None ends them."""
        return [self._commands.get(), *(self._commands.get_nowait() for _ in range(self._commands.qsize()))]


def load_with_share(load: LoadReplica, on_gpu: bool, replicas: int, machines: int) -> LoadedReplica:
    """Calls `load` in the actor, with the threads that its machine has for it, see `share_cores`."""
    import ray

    node_id = ray.get_runtime_context().get_node_id()
    resources: Mapping[str, float] = next((each["Resources"] for each in ray.nodes() if each["NodeID"] == node_id), {})
    threads = share_cores(resources, on_gpu, replicas, machines)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # which Ray has set to the cores that were requested
    return load(threads)


def report_interval_s(replicas: int) -> float:
    """Seconds between two reports of each of so many replicas."""
    return min(MAX_REPORT_INTERVAL_S, REPORT_INTERVAL_S * replicas)


def describe_failure(error: Exception) -> str:
    """Why a replica has ended, in a clause without anything that a client sent."""
    from ray import exceptions

    cause = getattr(error, "cause", None) if isinstance(error, exceptions.RayTaskError) else error
    match cause:
        case WuerstError():
            return str(cause).rstrip(".")
        case exceptions.OutOfMemoryError():
            return "its machine has run out of memory"
        case exceptions.NodeDiedError():
            return "its machine has gone"
        case exceptions.RayActorError():
            return "its process has ended"
        case ModuleNotFoundError():
            return "its machine lacks a package: install the same version of wuerst_demo there"
        case _:
            log.error("A replica has failed.", exc_info=error)
            return f"it failed with {type(cause).__name__} (see the log)"
