"""A driver without Ray, for tests of its launcher: a replica is ready at once, and reports a job for each that it gets.

Its `configure` says what goes wrong: "refuse", "crash" or "hang"; or "gpus" for a cluster that has some.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time

from wuerst_demo.errors import SettingsError
from wuerst_demo.fleet.wire import ReplicaDescription, Report


def send(*news):
    sys.stdout.buffer.write(pickle.dumps(news))
    sys.stdout.flush()


def tell(number, news):
    send("news", number, pickle.dumps(news))


if __name__ == "__main__":
    options, trouble = pickle.load(sys.stdin.buffer)
    if trouble == "crash":
        sys.exit(1)
    if trouble == "hang":
        subprocess.run(["sleep", "600"], check=False)
    if trouble == "refuse":
        send("refused", SettingsError("There is no Ray."))
        sys.exit()
    if trouble == "gpus":
        send("gpus")
    send("wanted", 3)
    running = set()
    while True:
        match pickle.load(sys.stdin.buffer):
            case "launch", number, name, load, size:
                running.add(number)
                tell(number, ReplicaDescription("cpu", f"{name} {load} {size}", "here", "1"))
            case "command", number, content if pickle.loads(content) == "garble":
                send("news", number, b"no pickle")
            case "command", number, content if pickle.loads(content) == "mute":
                sys.stdout.buffer.write(b"no pickle")
                sys.stdout.flush()
            case "command", _, content if pickle.loads(content) == "hang":
                time.sleep(600)
            case "command", number, content:
                tell(number, Report(problem=str(pickle.loads(content))))
            case "kill", number:
                running.remove(number)  # a second time, it ends
                send("ended", number, "killed")
            case "resize", replicas:
                send("wanted", replicas)
