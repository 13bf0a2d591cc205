"""What the tests of the page's engine share: small requests, a clock of their own, and ways to read tickets."""

from __future__ import annotations

from wuerst_demo.engine.inline import Inline
from wuerst_demo.errors import UserError
from wuerst_demo.events import Result
from wuerst_demo.request import Limits


def request(**values):
    return Limits().request({"prompt": "a red cat", "seed": 7, "prior_steps": 2, "decoder_steps": 1, **values})


def results(events):
    return [event for event in events if isinstance(event, Result)]


def finish(engine):
    """Turns until there is nothing left to do; white box, in place of the engine's thread."""
    while engine._turn():
        pass


def ends(ticket):
    """Everything that a ticket says, and how it ends: "Done", or the error's words."""
    seen = []
    try:
        for event in ticket:
            seen.append(event)  # noqa: PERF402 - what came before an error is wanted too
    except UserError as error:
        return seen, str(error)
    return seen, type(seen[-1]).__name__


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += seconds


def tickets_of(engine, crowd, turns):
    """The tickets of visits (person, wish, turn of arrival, turn of cancelling or None), by their number in `crowd`,
    once the engine has taken all its turns."""
    tickets = {}
    for turn in range(turns):
        for k, (person, wish, arrival, cancel) in enumerate(crowd):
            if arrival == turn:
                tickets[k] = engine.submit(wish, person)
            if cancel == turn and k in tickets:
                tickets[k].cancel()
        engine._turn()
    finish(engine)
    return tickets


def drain(engine, wish, **asked):
    """Every event of a request, read after each turn, since a ticket keeps the newest only; of either engine."""
    if isinstance(engine, Inline):
        return list(engine.run(wish, **asked))
    ticket = engine.submit(wish, "ann", **asked)
    seen = [next(ticket)]
    while engine._turn():
        seen += iter(lambda: waiting_event(ticket), None)
    return [*seen, *ticket]


def waiting_event(ticket):
    """What there is to be read without waiting, None where that is nothing; white box."""
    board = ticket._flight.board
    return next(ticket) if board.after(ticket._seen) and not board.over else None
