"""Reaper: a small process that ends Ray's processes when the page's process has ended, however it ended.

    python -m wuerst_demo.fleet.reaper PID ...

waits for the end of its standard input, which the page's process holds open. Some of Ray's processes would outlive it.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import psutil


def start_reaper(python: str = sys.executable) -> subprocess.Popen[bytes]:
    """Has all present descendants of this process end with it. The object is to be kept: its pipe is the sign."""
    pids = [str(process.pid) for process in psutil.Process().children(recursive=True)]
    return subprocess.Popen([python, "-m", __spec__.name, *pids], stdin=subprocess.PIPE, start_new_session=True)


def main(pids: list[int]) -> None:
    """Waits, then kills the processes that are still those of the beginning."""
    processes = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    sys.stdin.buffer.read()
    for process in processes:
        with suppress(psutil.Error):  # psutil compares the time of creation: another process of this id is spared
            process.kill()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
