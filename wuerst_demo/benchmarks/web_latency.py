"""Waiting times of a user of the web UI, started in its own process.

Through the web API: from the start to the page, and from a request to its image. With a browser: see `browser_latency`.
What lies beyond the steps of the engine is measured against `wuerst_turn_seconds` of `/metrics`.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
from gradio_client import Client  # type: ignore[import-untyped]

from wuerst_demo.benchmarks.browser_latency import engine_seconds, measure_browser
from wuerst_demo.benchmarks.measure import write_line
from wuerst_demo.devices.hardware import cpu_name
from wuerst_demo.errors import SettingsError

REPEATS = 7


def measure(options: Sequence[str], browser: bool) -> dict[str, Any]:
    """Prints a table and returns it as plain data; `options` are those of `wuerst page`.

    Raises SettingsError where a browser is missing or the web UI does not start.
    """
    with start_server(options) as (address, startup_s, memory_bytes):
        facts: dict[str, Any] = {"machine": f"{cpu_name()}, {psutil.cpu_count()} cores"}
        if browser:
            facts |= measure_browser(address, REPEATS)
        else:
            facts |= _measure_api(address)
        if not browser:
            facts |= {"page_s": round(startup_s, 2), "resident_gib": round(memory_bytes() / 2**30, 2)}
    for name, value in facts.items():
        write_line(f"{name:40} {value}")
    return facts


@contextmanager
def start_server(options: Sequence[str]) -> Iterator[tuple[str, float, Any]]:
    """The web UI on a free port, as a user starts it: address, seconds until it responded, and its resident memory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, start = f"http://127.0.0.1:{port}/", time.perf_counter()
    with TemporaryDirectory() as history, _started(["--port", str(port), "--output", history, *options]) as server:
        try:
            while not _responds(address):
                if server.poll() is not None:
                    raise SettingsError(f"The web UI ended with code {server.returncode} before its page was there.")
                time.sleep(0.05)
            yield address, time.perf_counter() - start, lambda: psutil.Process(server.pid).memory_info().rss
        finally:
            server.terminate()


def _started(options: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "wuerst_demo", "page", *options], stdout=subprocess.DEVNULL)


def _responds(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _measure_api(address: str) -> dict[str, Any]:
    """Images at the checkpoint's defaults, each with its own prompt, since embeddings are cached.

    By HTTP on one connection and, in turn, by gradio_client. That opens a connection for each of its requests, for
    which it reads the system's certificates, downloads each file twice, and looks for answers every 0.05 s.
    """
    client = Client(address, verbose=False)
    with httpx.Client(base_url=address, timeout=60) as connection:
        ways: dict[str, Callable[..., object]] = {
            "": partial(_request_image, connection),
            "gradio_client_": partial(client.predict, api_name="/generate"),
        }
        waits: dict[str, list[float]] = {name: [] for name in ways}
        beyond: dict[str, list[float]] = {name: [] for name in ways}
        for seed in range(1 + REPEATS):
            for number, (name, request_image) in enumerate(ways.items()):
                steps_s, start = engine_seconds(address), time.perf_counter()
                request_image(prompt=f"a fox in the snow at night, {seed} {number}", seed=seed)
                waits[name].append(time.perf_counter() - start)
                beyond[name].append(waits[name][-1] - (engine_seconds(address) - steps_s))
    facts: dict[str, Any] = {"first_picture_s": round(waits[""][0], 2)}
    for name in ways:
        facts[f"{name}later_picture_s"] = round(median(waits[name][1:]), 3)
        facts[f"{name}beyond_the_engine_s"] = round(median(beyond[name][1:]), 3)
    return facts


def _request_image(connection: httpx.Client, **values: object) -> bytes:
    """The file of an image, with plain HTTP."""
    call = connection.post("gradio_api/call/v2/generate", json=values).raise_for_status().json()
    with connection.stream("GET", f"gradio_api/call/generate/{call['event_id']}") as answers:
        lines = answers.iter_lines()
        ended = next(line for line in lines if line in ("event: complete", "event: error"))
        data = json.loads(next(lines).removeprefix("data: "))
        if ended == "event: error":
            raise SettingsError(f"The web UI rejected the request: {data}.")
        for _ in lines:  # to the end, so that the connection is kept
            pass
    return connection.get(data[0][0]["url"]).raise_for_status().content
