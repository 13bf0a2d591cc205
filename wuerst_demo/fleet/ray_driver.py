"""The driver of Ray, a process between the page's and Ray: Ray ends its driver when it loses the head of the cluster.

    python -m wuerst_demo.fleet.ray_driver

reads pickled commands from its standard input, and writes news to its standard output, for `driver_launcher`. What a
replica and the page say to each other passes through as bytes. It ends with its input, so it does not outlive the page.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from wuerst_demo.errors import WuerstError
from wuerst_demo.fleet.ray_cluster import RayLauncher, RayProcess, connect

SIGN_OF_LIFE_S = 1.0
"""Seconds between two counts of the replicas that there should be."""


class Pipe:
    """What is written to the page's process, from any thread."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, *news: object) -> None:
        content = pickle.dumps(news)
        with self._lock:
            self._pipe.write(content)
            self._pipe.flush()


@dataclass(frozen=True)
class _Listener:
    """Passes on what a replica's process reports."""

    pipe: Pipe
    number: int

    def news(self, content: bytes) -> None:
        self.pipe.send("news", self.number, content)

    def ended(self, reason: str) -> None:
        self.pipe.send("ended", self.number, reason)


def main() -> None:
    """Connects to Ray and follows commands until there are no more."""
    inbox, news = os.fdopen(os.dup(0), "rb"), Pipe(os.fdopen(os.dup(1), "wb"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what Ray prints is no news
    options, configure = pickle.load(inbox)
    if configure:
        configure()
    try:
        launcher = connect(options)
    except WuerstError as error:
        news.send("refused", error.with_traceback(None))
    else:
        threading.Thread(target=_count, args=(launcher, news), daemon=True).start()
        processes: dict[int, RayProcess] = {}
        with suppress(EOFError):
            while True:
                _follow(launcher, processes, news, *pickle.load(inbox))
    # Leaving Ray takes seconds. Without its driver, a cluster ends the actors, and the reaper a Ray of this machine.
    os._exit(0)


def _count(launcher: RayLauncher, news: Pipe) -> None:
    while True:
        if launcher.settle_on_gpus():
            news.send("gpus")
        news.send("wanted", launcher.wanted())
        time.sleep(SIGN_OF_LIFE_S)


def _follow(
    launcher: RayLauncher, processes: dict[int, RayProcess], news: Pipe, command: str, number: int, *values: Any
) -> None:
    """One command; `number` is that of a replica's process, or a new number of replicas."""
    match command:
        case "launch":
            name, launcher.load, launcher.max_batch_size = values
            processes[number] = launcher.launch(name, _Listener(news, number))
        case "command" if process := processes.get(number):  # else it was killed before
            process.send(*values)
        case "kill" if process := processes.pop(number, None):
            process.kill()
        case "resize":
            launcher.resize(number)


if __name__ == "__main__":
    main()
