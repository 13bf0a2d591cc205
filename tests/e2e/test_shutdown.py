"""How a started page ends: by signals, once and repeatedly, with connections open."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.e2e.browser import ROOT
from tests.fakes.server import free_port

pytestmark = pytest.mark.slow


def heed_interrupts():
    """A shell has its background jobs ignore SIGINT, and they pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(tmp_path):
    """The process of a page, and its port."""
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), "--no-history", "--device", "cpu"]
    environment, pipe = {**os.environ, "TMPDIR": str(tmp_path)}, subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_interrupts
    ) as page:
        try:
            while not page.stdout.readline().startswith("The page is at "):
                assert page.poll() is None
            yield page, port
        finally:
            page.kill()


@pytest.mark.parametrize("signals", [[signal.SIGTERM] * 2, [signal.SIGINT] * 2, [signal.SIGINT]], ids=str)
def test_signals_end_the_page_quietly_with_connections_open(signals, tmp_path):
    with started(tmp_path) as (page, port), ExitStack() as stack:
        for path in ("/gradio_api/heartbeat/some-session", None):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            if path:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                connection.recv(20)
        for number in signals:
            page.send_signal(number)
            time.sleep(0.05)
        code = page.wait(60)  # though the clients stay connected
        assert (code, page.stdout.read(), page.stderr.read()) == (0, "", "")
    assert list(tmp_path.glob("wuerst-*")) == []
