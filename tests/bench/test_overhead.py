"""What is measured of the engine is what is meant: full steps of its rows, and previews that are made."""

from __future__ import annotations

from tests.engine.crowd import finish, results
from wuerst_demo.bench.overhead import PEOPLE, Idle, Timed
from wuerst_demo.engine.inline import Inline
from wuerst_demo.engine.local import Local
from wuerst_demo.events import Progress
from wuerst_demo.request import Limits


def test_everybodys_rows_share_every_step_that_is_timed():
    cascade = Idle()
    engine = Local(cascade, rows_at_once=PEOPLE, waiting=PEOPLE)
    wish = Limits().request({"seed": 1, "prior_steps": 3, "decoder_steps": 2})
    tickets = [engine.submit(wish, f"person {k}") for k in range(PEOPLE)]
    finish(engine)
    assert cascade.sizes == [PEOPLE] * 5
    assert all(len(results(ticket)) == 1 for ticket in tickets)


def test_previews_are_timed_and_stay_what_they_are(cascade):
    wish = {"prompt": "a red cat", "seed": 1, "width": 128, "height": 128, "prior_steps": 2, "decoder_steps": 1}
    list(Inline(cascade).run(Limits().request(wish)))  # from now on there is a map
    timed = Timed(cascade)
    events = list(Inline(timed).run(Limits().request(wish)))
    assert any(event.preview for event in events if isinstance(event, Progress))
    assert timed.previews_made > 0
    assert timed.seconds > 0
