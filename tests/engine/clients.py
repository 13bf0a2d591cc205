"""Helpers of the engine's tests: small requests, a clock, the two drivers, and ways to read tickets."""

from __future__ import annotations

import time
from unittest.mock import patch

from wuerst_demo.engine import ticket as ticket_module
from wuerst_demo.errors import UserError
from wuerst_demo.events import Result
from wuerst_demo.request import Limits

DRIVERS = ("caller", "worker")
"""What steps an engine: the thread that reads the events, or the engine's own."""
CORE_DRIVERS = (*DRIVERS, "replica")
"""As well, an engine like it in a replica, whose events come through a fleet."""


def make_request(**values):
    return Limits().request({"prompt": "a red cat", "seed": 7, "prior_steps": 2, "decoder_steps": 1, **values})


def results(events):
    return [event for event in events if isinstance(event, Result)]


def finish(engine):
    """Step until there is nothing left to do."""
    while engine.step():
        pass


def ends(ticket):
    """All events of a ticket or run, and how it ends: "Done", or the error's message."""
    seen = []
    try:
        for event in ticket:
            seen.append(event)  # noqa: PERF402 - the events before an error are wanted too
    except UserError as error:
        return seen, str(error)
    return seen, type(seen[-1]).__name__


def run_with(driver, engine, request, **options):
    """All events of one request and how it ends. With the worker or a replica, a slow reader gets only the newest
    Progress."""
    if driver == "replica":
        from tests.fakes.fleet import LocalFleet

        local = LocalFleet(1, lambda: engine._executor._pipeline, max_batch_size=engine._max_batch_size)
        ticket = local.fleet.submit(request, "ann", **options)
        local.finish()
        return ends(ticket)
    if driver == "caller":
        return ends(engine.run(request, **options))
    with engine:
        return ends(engine.run(request, **options))


def step_and_read(engine, request):
    """All events of a request, read after each step."""
    ticket = engine.submit(request, "ann")
    seen = [next(ticket)]
    while engine.step():
        seen += [] if ticket.over else unread(ticket, seen)
    return [*seen, *ticket]


def unread(ticket, seen):
    """Events that can be read without waiting: without news, the newest event comes again."""
    found, event = [], newest(ticket)
    while not any(event is known for known in (*seen, *found)):
        found.append(event)
        event = newest(ticket)
    return found


def newest(ticket):
    """Next event; without news, the newest one again, at once."""
    with patch.object(ticket_module, "REPEAT_INTERVAL_S", 0.0):
        return next(ticket)


def eventually(condition, timeout_s=200):
    """Wait until `condition()` holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.002)


class Clock:
    """Clock that a test moves forward. It does not begin at 0, which would hide mistaken signs."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


def tickets_of(engine, visits, steps):
    """Tickets, by number, of visits (session, request, step of arrival, step of cancelling or None), once the engine
    has nothing left to do."""
    tickets = {}
    for step in range(steps):
        for k, (session, request, arrival, cancel) in enumerate(visits):
            if arrival == step:
                tickets[k] = engine.submit(request, session)
            if cancel == step and k in tickets:
                tickets[k].cancel()
        engine.step()
    finish(engine)
    return tickets
