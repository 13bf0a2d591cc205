"""Pages served in this process, and requests to them without a browser."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

import httpx

get, post = partial(httpx.get, timeout=60), partial(httpx.post, timeout=60)
"""As patient as a browser: a busy machine is no error of the page."""


def free_port() -> int:
    """A port below those that the system gives to outgoing connections, one of which could take it before the page."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def serve_page(context, settings=None, health=None) -> Iterator[str]:
    """The address of a page over `context`, in this process, launched as `server` launches it."""
    from wuerst_demo.settings import Settings
    from wuerst_demo.web.live.service import LiveService
    from wuerst_demo.web.middleware.temp_files import private_temp_folder
    from wuerst_demo.web.page import build_page
    from wuerst_demo.web.server import launch_options

    with private_temp_folder():
        live = LiveService(context)
        page = build_page(context, live)
        routes = [*live.routes(), *(health.routes() if health else [])]
        _, address, _ = page.launch(**launch_options(settings or Settings(), "127.0.0.1", free_port(), routes))
        try:
            yield address
        finally:
            page.close(verbose=False)


def wait_until(condition, timeout_s=60):
    """Wait until `condition()` is true; fails after a generous time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def run_async(coroutine):
    """The coroutine's result, from a thread of its own: a browser keeps the main thread's event loop running."""
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, coroutine).result(60)
