"""`python -m wuerst_demo.bench.page [options of app.py]`: what a visitor waits for, and what the server takes.

Starts `app.py` in a process of its own and asks it through the web API, as a page does. Prints a table and one last
line of JSON. Measures no browser: a picture is there when the server says so.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil
from gradio_client import Client  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
LATER = 7
"""Pictures after the first one; their median is what counts."""


def main(argv: Sequence[str]) -> int:
    """Measure and print; 0, or the exit code of an app.py that did not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    began = time.perf_counter()
    command = [sys.executable, "app.py", "--port", str(port), "--no-history", *argv]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as app:
        try:
            while not _answers(address):
                if app.poll() is not None:
                    return app.returncode
                time.sleep(0.05)
            page = time.perf_counter() - began
            client = Client(address, verbose=False)
            waits = [_wait(client, seed) for seed in range(1 + LATER)]
            resident = psutil.Process(app.pid).memory_info().rss / 2**30
        finally:
            app.terminate()
    facts = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "page_s": round(page, 2),
        "first_picture_s": round(waits[0], 2),
        "later_picture_s": round(statistics.median(waits[1:]), 2),
        "resident_gib": round(resident, 2),
    }
    for name, value in facts.items():
        sys.stdout.write(f"{name:18} {value}\n")
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(client: Client, seed: int) -> float:
    """Seconds from asking for one picture, at the checkpoint's defaults, until it is there. Each has a prompt
    of its own, since texts are kept."""
    began = time.perf_counter()
    client.predict(prompt=f"a fox in the snow at night, {seed}", seed=seed, api_name="/generate")
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
