import pytest

from tests.ui.fakes import LIMITS, Painter
from wuerst_demo.errors import Cancelled, UserError
from wuerst_demo.events import Done, Progress
from wuerst_demo.ui.plain import Plain

ASKED = LIMITS.request({"prompt": "a cat", "prior_steps": 3, "decoder_steps": 2})


def test_a_ticket_gives_the_events_of_what_draws_and_ends_with_them():
    painter = Painter()
    told = list(Plain(painter.draw).submit(ASKED, "me"))
    assert [type(each) for each in told[:6]] == [Progress] * 6
    assert isinstance(told[-1], Done)
    assert painter.asked == [ASKED]
    assert (painter.running, painter.closed) == (0, 0)


def test_what_is_stopped_ends_within_a_step_and_says_so():
    painter = Painter()
    engine = Plain(painter.draw)
    ticket = engine.submit(ASKED, "me")
    next(ticket)
    engine.cancel(ticket.id, "me")
    with pytest.raises(Cancelled):
        next(ticket)
    assert (painter.running, painter.closed) == (0, 1)


def test_nobody_stops_what_is_somebody_elses():
    engine = Plain(Painter().draw)
    ticket = engine.submit(ASKED, "me")
    engine.cancel(ticket.id, "you")
    assert isinstance(list(ticket)[-1], Done)


def test_who_leaves_stops_at_once_and_there_is_nothing_to_come_back_to():
    painter = Painter()
    engine = Plain(painter.draw)
    ticket = engine.submit(ASKED, "me")
    next(ticket)
    ticket.close()
    assert (painter.running, painter.closed) == (0, 1)
    with pytest.raises(UserError):
        engine.attach(ticket.id, "me")
