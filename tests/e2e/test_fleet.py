"""A page before several replicas: one of them ends while it draws, and the page goes on to the same picture."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from PIL import Image

from tests.e2e.test_page import PICTURES
from tests.fakes.cascade import FakeCascade, painted
from tests.fakes.fleet import LocalFleet
from tests.fakes.server import get, serve_page, wait_until
from tests.fakes.web import LIMITS, StepGate, fake_context

pytestmark = pytest.mark.slow


@contextmanager
def working(local):
    """Has all replicas work in a thread of their own, as real ones do."""
    stopped = threading.Event()

    def work():
        while not stopped.wait(0.02):
            local.work(1)
            local.supervisor.tick()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@pytest.mark.parametrize(
    ("locale", "said", "done"),
    [
        ("en-GB", "moved to another machine", "1 picture in"),
        ("de-DE", "auf einem anderen Rechner neu begonnen", "1 Bild in"),
    ],
)
def test_the_page_goes_on_to_the_same_picture_when_a_replica_is_killed(visit, locale, said, done):
    gate = StepGate()
    local = LocalFleet(2, lambda: FakeCascade(between=gate))
    with working(local), serve_page(replace(fake_context(), engine=local.fleet)) as address:
        page = visit(f"{address}?prompt=a%20fox&seed=7", locale=locale)
        gate.hold_before = gate.steps + 5
        page.locator("#generate").click()
        page.locator("#status .running").wait_for()
        wait_until(lambda: gate.steps == gate.hold_before)
        victim = next(each for each in local.launcher.running if each.jobs)
        gate.hold_before += 5
        victim.killed = True
        gate.release()
        local.supervisor.fail(local.fleet.replicas[victim.name], "its process has ended")
        page.locator("#status", has_text=said).wait_for()
        wait_until(lambda: gate.steps == gate.hold_before)  # else the release comes before the hold
        gate.release()
        page.locator("#status .done", has_text=done).wait_for()
        drawn = Image.open(io.BytesIO(get(page.locator(PICTURES).get_attribute("src")).content))
        request = LIMITS.request({"prompt": "a fox", "seed": 7})
        assert drawn.tobytes() == painted(request).tobytes()
        assert local.fleet.moved == 1
