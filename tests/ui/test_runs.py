"""Drawings that people leave and come back to, on the engine of many people with a cascade of arithmetic."""

import gc
import time
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

from tests.fakes import FakeCascade
from tests.ui.fakes import Painter, studio
from wuerst_demo.engine.local import Local
from wuerst_demo.events import Result
from wuerst_demo.ui.drawing import AWAY
from wuerst_demo.ui.plain import Plain
from wuerst_demo.ui.runs import ELSEWHERE, Runs, Terms
from wuerst_demo.ui.seats import KEPT, Seat

ME = Seat("me" * 10, "left")
ASKED = {"prompt": "a cat", "images": 2, "prior_steps": 3, "decoder_steps": 2, "seed": 7}


class Held:
    """Lets the device go until it is held, which it can be before a certain one of its steps, from 1."""

    def __init__(self):
        self.before = None
        self.steps = 0
        self._on = Event()
        self._on.set()

    def __call__(self):
        self.steps += 1
        if self.steps == self.before:
            self.hold()
        self._on.wait(60)

    def hold(self):
        self._on.clear()

    def go_on(self):
        self._on.set()


@contextmanager
def place(grace=60.0, clock=None, **options):
    held = Held()
    with Local(FakeCascade(between=held), grace=grace, **options) as engine:
        yield Runs(replace(studio(), engine=engine), **({"clock": clock} if clock else {})), held, engine
        held.go_on()


def settled(condition):
    """Wait until `condition()` holds."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def seeds(view):
    return [picture.request.seed for picture in view.pictures]


def test_a_drawing_that_is_left_in_the_middle_is_found_again_and_goes_on():
    with place() as (runs, held, _):
        held.hold()
        views = runs.draw(ME, ASKED)
        begun = next(views)
        views.close()
        held.go_on()
        *_, last = runs.resume(ME)
    assert last.state == "done"
    assert seeds(last) == [7, 8]
    assert last.request == begun.request


def test_who_comes_back_takes_the_drawing_over_and_the_older_connection_is_told_so():
    with place() as (runs, held, _):
        held.hold()
        older = runs.draw(ME, ASKED)
        next(older)
        newer = runs.resume(ME)
        next(newer)
        held.go_on()
        assert list(older)[-1].message == ELSEWHERE
        *_, last = newer
    assert last.state == "done"
    assert seeds(last) == [7, 8]


def test_what_has_ended_is_shown_again_with_its_files_until_its_time_is_over():
    now = [0.0]
    with place(clock=lambda: now[0]) as (runs, _, _):
        *_, drawn = runs.draw(ME, ASKED)
        now[0] = KEPT - 1
        assert list(runs.resume(ME)) == [drawn]
        assert all(picture.path.exists() for picture in drawn.pictures)
        now[0] = 2 * KEPT + 2
        assert list(runs.resume(ME)) == []
        assert not any(picture.path.exists() for picture in drawn.pictures)


def test_nobody_else_and_no_other_tab_finds_it():
    with place() as (runs, _, _):
        list(runs.draw(ME, ASKED))
        assert list(runs.resume(Seat("you" * 10, ME.tab))) == []
        assert list(runs.resume(Seat(ME.owner, "right"))) == []


def test_the_page_that_has_begun_it_does_not_come_back_to_it():
    with place() as (runs, held, _):
        held.hold()
        views = runs.draw(ME, ASKED, Terms(page="this one"))
        next(views)
        assert list(runs.resume(ME, "this one")) == []
        held.go_on()
        assert list(views)[-1].state == "done"
        assert [view.state for view in runs.resume(ME, "the next")] == ["done"]


def test_stop_keeps_what_is_finished_and_says_so():
    with place(rows_at_once=1) as (runs, held, _):
        held.before = 10  # the last one: the other picture is finished
        views = runs.draw(ME, ASKED)
        seen = next(view for view in views if view.pictures)
        runs.stop(ME)
        held.go_on()
        *_, last = views
    assert last.state == "stopped"
    assert seeds(last) == seeds(seen)
    assert len(last.pictures) == 1
    assert "The finished picture is kept" in last.message
    assert last.pictures[0].path.exists()


def test_stop_is_for_ones_own_drawing():
    other = Seat("you" * 10, ME.tab)
    with place() as (runs, held, _):
        held.hold()
        views = runs.draw(ME, ASKED)
        next(views)
        runs.stop(other)
        held.go_on()
        assert list(views)[-1].state == "done"


def test_what_went_on_for_too_long_without_anybody_is_stopped_and_said():
    with place(grace=0.0) as (runs, held, _):
        held.hold()
        views = runs.draw(ME, ASKED)
        next(views)
        views.close()
        held.go_on()
        (last,) = runs.resume(ME)
    assert (last.state, last.message) == ("stopped", AWAY)


def test_what_was_finished_while_nobody_looked_is_there_when_the_rest_was_stopped():
    with place(grace=3.0, kept=60.0, rows_at_once=1) as (runs, held, engine):
        held.before = 10  # the last one: the other picture is finished
        views = runs.draw(ME, ASKED)
        next(views)
        views.close()
        id = runs._seats.find(ME).ticket.id
        settled(lambda: engine._flights.found(id, ME.owner).rows == 1)
        time.sleep(3.1)
        held.go_on()
        settled(lambda: engine._flights.found(id, ME.owner).over)
        *_, last = runs.resume(ME)
    assert (last.state, last.message) == ("stopped", AWAY)
    assert seeds(last) == [7]
    assert last.pictures[0].path.exists()


def test_what_is_over_is_in_files_and_no_more_in_memory():
    with place(grace=0.1) as (runs, _, engine):
        list(runs.draw(ME, ASKED | {"images": 4}))
        settled(lambda: not engine._flights)
        gc.collect()
        held = [each for each in gc.get_objects() if isinstance(each, Result)]
        assert len(held) <= 1  # the last one, in the engine's thread until it draws another
        (last,) = runs.resume(ME)
    assert len(last.pictures) == 4


def test_it_is_known_how_a_drawing_was_asked_for():
    with place() as (runs, _, _):
        assert runs.terms(ME) is None
        asked = Terms({"prompt": "a cat"}, fresh=True)
        list(runs.draw(ME, ASKED, asked))
        assert runs.terms(ME) == asked
        list(runs.draw(ME, ASKED))
        assert runs.terms(ME) == Terms({}, fresh=False)


def test_what_is_refused_leaves_the_last_drawing_to_be_found():
    with place() as (runs, _, _):
        *_, drawn = runs.draw(ME, ASKED)
        (refused,) = runs.draw(ME, {"width": 1})
        assert refused.state == "refused"
        assert list(runs.resume(ME)) == [drawn]


def test_a_new_drawing_takes_the_place_of_the_old_one_and_its_files_go():
    with place() as (runs, _, _):
        *_, old = runs.draw(ME, ASKED)
        *_, new = runs.draw(ME, ASKED | {"seed": 70})
        assert list(runs.resume(ME)) == [new]
        assert not old.pictures[0].path.exists()


def test_where_a_drawing_ends_with_its_page_that_is_said_to_who_comes_back():
    runs = Runs(replace(studio(), engine=Plain(Painter().draw)))
    views = runs.draw(ME, ASKED)
    next(view for view in views if view.pictures)
    views.close()
    (last,) = runs.resume(ME)
    assert last.state == "stopped"
    assert len(last.pictures) == 1


def test_the_pictures_that_one_visitor_may_have_in_line_are_counted_over_all_tabs():
    with place(per_session=2) as (runs, held, _):
        held.hold()
        first = runs.draw(ME, ASKED)
        next(first)
        (refused,) = runs.draw(Seat(ME.owner, "right"), ASKED)
        assert refused.state == "refused"
        assert "as many pictures in line as one person may have" in refused.message
        somebody = runs.draw(Seat("you" * 10, "left"), ASKED)
        assert next(somebody).state == "waiting"
        held.go_on()
        assert [*first][-1].state == [*somebody][-1].state == "done"
        *_, last = runs.draw(Seat(ME.owner, "right"), ASKED)
        assert last.state == "done"
