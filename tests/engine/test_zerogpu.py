"""Engine over a function that generates a request: events, cancelling, closing, and the real engine inside the call."""

import pytest

from tests.engine.clients import results
from tests.fakes.cascade import FakeCascade, painted
from tests.fakes.web import LIMITS, FakePipeline
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.zerogpu import GeneratorEngine
from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Done, Progress

ASKED = LIMITS.request({"prompt": "a cat", "prior_steps": 3, "decoder_steps": 2})


def test_a_ticket_gives_the_events_of_the_function():
    pipeline = FakePipeline()
    events = list(GeneratorEngine(pipeline.run).submit(ASKED, "me"))
    assert [type(each) for each in events[:6]] == [Progress] * 6
    assert isinstance(events[-1], Done)
    assert pipeline.requests == [ASKED]
    assert (pipeline.running, pipeline.cancelled) == (0, 0)


def test_the_real_engine_can_be_driven_inside_the_call():
    cascade = FakeCascade()
    core = Engine(cascade)
    engine = GeneratorEngine(core.run)
    (result,) = results(engine.submit(ASKED, "me"))
    assert result.image.tobytes() == painted(ASKED.image(0)).tobytes()
    ticket = engine.submit(ASKED, "me")
    next(ticket)
    steps = len(cascade.steps)
    ticket.close()
    assert (len(cascade.steps), core.request_count) == (steps, 0)


def test_a_cancelled_request_ends_within_a_step():
    pipeline = FakePipeline()
    engine = GeneratorEngine(pipeline.run)
    ticket = engine.submit(ASKED, "me")
    next(ticket)
    engine.cancel(ticket.id, "me")
    with pytest.raises(Cancelled):
        next(ticket)
    assert (pipeline.running, pipeline.cancelled) == (0, 1)


def test_no_other_session_can_cancel():
    engine = GeneratorEngine(FakePipeline().run)
    ticket = engine.submit(ASKED, "me")
    engine.cancel(ticket.id, "you")
    assert isinstance(list(ticket)[-1], Done)


def test_a_closed_request_stops_at_once_and_cannot_be_attached():
    pipeline = FakePipeline()
    engine = GeneratorEngine(pipeline.run)
    ticket = engine.submit(ASKED, "me")
    next(ticket)
    ticket.close()
    assert (pipeline.running, pipeline.cancelled) == (0, 1)
    with pytest.raises(UserError):
        engine.attach(ticket.id, "me")
