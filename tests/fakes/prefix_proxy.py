"""A reverse proxy that serves a page under a path, as nginx is commonly set up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def prefix_proxy(port: int, target: str, prefix: str, passes_host: bool = True) -> Iterator[list[str]]:
    """Serve `target` under `prefix`; yields the paths outside of it that were requested.

    Without `passes_host`, the page sees the proxy's request to it and nothing of the browser's.
    """
    outside: list[str] = []
    started, stopped = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve(reader, writer):
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        method, path, version = first.split(" ", 2)
        if not path.startswith(prefix):
            outside.append(path)
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        host = next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:"))
        kept = [line for line in lines if line and not line.lower().startswith(("connection:", "host:"))]
        kept += [f"Host: {host}", f"X-Forwarded-Host: {host}"] if passes_host else [f"Host: {urlsplit(target).netloc}"]
        head = [f"{method} {path[len(prefix) :] or '/'} {version}", *kept, "Connection: close", "", ""]
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", urlsplit(target).port)
        up_writer.write("\r\n".join(head).encode("latin-1"))
        await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", port):
            loops.append(asyncio.get_running_loop())
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait()
    try:
        yield outside
    finally:
        loops[0].call_soon_threadsafe(stopped.set)
        thread.join()


async def _copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()
