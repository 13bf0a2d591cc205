"""Simulated replicas in one process, without Ray, for `driver_launcher`: more than this machine has room for as actors.

    python -m wuerst_demo.benchmarks.simulated_driver

Each is a replica's server with its engine and threads, so the page gets what actors would send it, in the same way.
"""

from __future__ import annotations

import os
import pickle
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from wuerst_demo.fleet.server import ReplicaServer

if TYPE_CHECKING:
    from wuerst_demo.fleet.ray_driver import Pipe

DRIVER_MODULE = __spec__.name


def main() -> None:
    """Follows commands until there are no more."""
    from wuerst_demo.fleet.ray_cluster import report_interval_s
    from wuerst_demo.fleet.ray_driver import Pipe

    inbox, pipe = os.fdopen(os.dup(0), "rb"), Pipe(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    (options, _), servers = pickle.load(inbox), dict[int, ReplicaServer]()
    interval_s = report_interval_s(options.replicas)
    pipe.send("wanted", options.replicas)
    with suppress(EOFError):
        while True:
            match pickle.load(inbox):
                case "launch", number, _, load, max_batch_size:
                    servers[number] = ReplicaServer(partial(load, 1), max_batch_size)
                    threading.Thread(target=_report, args=(servers, number, interval_s, pipe), daemon=True).start()
                case "command", number, content:
                    servers[number].follow([content])
                case "kill", number:
                    servers.pop(number, None)
                case "resize", replicas:
                    interval_s = report_interval_s(replicas)
                    pipe.send("wanted", replicas)
    os._exit(0)


def _report(servers: dict[int, ReplicaServer], number: int, interval_s: float, pipe: Pipe) -> None:
    with suppress(OSError):  # the page has gone
        for content in servers[number].packed_reports(interval_s):
            if number not in servers:
                return
            pipe.send("news", number, content)


if __name__ == "__main__":
    main()
