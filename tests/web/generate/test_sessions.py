"""Generations that a page leaves and resumes, on the real engine with a fake cascade."""

import gc
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from tests.fakes.cascade import FakeCascade
from tests.fakes.server import wait_until
from tests.fakes.web import EMBEDDINGS, LIMITS, FakePipeline, StepGate, expected_image, fake_context
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.zerogpu import GeneratorEngine
from wuerst_demo.events import Result
from wuerst_demo.variation import encode_image_embeddings
from wuerst_demo.web.generate.neighbors import neighbor_values, render_neighbor_sheet
from wuerst_demo.web.generate.sessions import (
    KEEP_LATER_MESSAGE,
    MAX_EARLIER_VIEWS,
    OPENED_ELSEWHERE_MESSAGE,
    GenerationOptions,
    GenerationSessions,
)
from wuerst_demo.web.shared.generation import ABANDONED_MESSAGE, MIDDLE_INDEX
from wuerst_demo.web.shared.sessions import SESSION_TTL_S, ClientTab

ME = ClientTab("me" * 10, "left")
VALUES = {"prompt": "a cat", "images": 2, "prior_steps": 3, "decoder_steps": 2, "seed": 7}


@contextmanager
def running_sessions(grace_s=60.0, clock=time.monotonic, engine_clock=time.perf_counter, **options):
    """Sessions over an engine, the gate between its steps, and the engine."""
    gate = StepGate()
    with Engine(FakeCascade(between=gate), grace_s=grace_s, clock=engine_clock, **options) as engine:
        yield GenerationSessions(replace(fake_context(), engine=engine), clock), gate, engine
        gate.release()


def seeds(view):
    return [picture.request.seed for picture in view.images]


def test_an_abandoned_generation_goes_on_and_can_be_resumed():
    with running_sessions() as (sessions, gate, _):
        gate.hold()
        views = sessions.generate(ME, VALUES)
        begun = next(views)
        views.close()
        gate.release()
        *_, last = sessions.resume(ME)
    assert last.state == "done"
    assert seeds(last) == [7, 8]
    assert last.request == begun.request


def test_resuming_takes_over_and_the_older_reader_is_notified():
    with running_sessions() as (sessions, gate, _):
        gate.hold()
        older = sessions.generate(ME, VALUES)
        next(older)
        newer = sessions.resume(ME)
        next(newer)
        gate.release()
        assert list(older)[-1].message == OPENED_ELSEWHERE_MESSAGE
        *_, last = newer
    assert last.state == "done"
    assert seeds(last) == [7, 8]


def test_a_finished_generation_can_be_resumed_until_its_session_expires():
    now = [0.0]
    with running_sessions(clock=lambda: now[0]) as (sessions, _, _):
        *_, drawn = sessions.generate(ME, VALUES)
        now[0] = SESSION_TTL_S - 1
        assert list(sessions.resume(ME)) == [drawn]
        assert all(picture.path.exists() for picture in drawn.images)
        now[0] = 2 * SESSION_TTL_S + 2
        assert list(sessions.resume(ME)) == []
        assert not any(picture.path.exists() for picture in drawn.images)


def test_other_clients_and_tabs_cannot_resume_it():
    with running_sessions() as (sessions, _, _):
        list(sessions.generate(ME, VALUES))
        assert list(sessions.resume(ClientTab("you" * 10, ME.tab))) == []
        assert list(sessions.resume(ClientTab(ME.owner, "right"))) == []


def test_the_submitting_page_does_not_resume_its_own_generation():
    with running_sessions() as (sessions, gate, _):
        gate.hold()
        views = sessions.generate(ME, VALUES, GenerationOptions(page="this one"))
        next(views)
        assert list(sessions.resume(ME, "this one")) == []
        gate.release()
        assert list(views)[-1].state == "done"
        assert [view.state for view in sessions.resume(ME, "the next")] == ["done"]


def test_stop_keeps_finished_images_and_says_so():
    with running_sessions(max_batch_size=1) as (sessions, gate, _):
        gate.hold_before = 10  # the last one: the other picture is finished
        views = sessions.generate(ME, VALUES)
        seen = next(view for view in views if view.images)
        sessions.stop(ME)
        gate.release()
        *_, last = views
    assert last.state == "stopped"
    assert seeds(last) == seeds(seen)
    assert len(last.images) == 1
    assert "The finished picture is kept" in last.message
    assert last.images[0].path.exists()


def test_a_live_picture_is_kept_when_the_pictures_before_it_are_finished():
    request = LIMITS.request({"prompt": "a cat", "seed": 3, "images": 1})
    live = Result(0, expected_image(request), request)
    with running_sessions() as (sessions, gate, _):
        gate.hold()
        views = sessions.generate(ME, VALUES)
        next(views)
        refused = sessions.keep(ME, live, "this page")
        assert (refused.state, refused.message, refused.images) == ("rejected", KEEP_LATER_MESSAGE, ())
        gate.release()
        *_, last = views
        kept = sessions.keep(ME, live, "this page")
    assert len(kept.images) == len(last.images) + 1


def test_stop_affects_only_the_clients_own_generation():
    other = ClientTab("you" * 10, ME.tab)
    with running_sessions() as (sessions, gate, _):
        gate.hold()
        views = sessions.generate(ME, VALUES)
        next(views)
        sessions.stop(other)
        gate.release()
        assert list(views)[-1].state == "done"


def test_a_generation_without_a_reader_is_cancelled_after_the_grace_time():
    with running_sessions(grace_s=0.0) as (sessions, gate, _):
        gate.hold()
        views = sessions.generate(ME, VALUES)
        next(views)
        views.close()
        gate.release()
        (last,) = sessions.resume(ME)
    assert (last.state, last.message) == ("stopped", ABANDONED_MESSAGE)


def test_images_finished_without_a_reader_are_kept_after_the_cancellation():
    now = [1000.0]
    with running_sessions(3.0, engine_clock=lambda: now[0], keep_s=60.0, max_batch_size=1) as (sessions, gate, engine):
        gate.hold_before = 10  # the last one: the other picture is finished
        views = sessions.generate(ME, VALUES)
        next(views)
        views.close()
        wait_until(lambda: engine.stage_counts.total() == 1)
        now[0] += 3.1
        gate.release()
        wait_until(lambda: engine.stage_counts.total() == 0)
        *_, last = sessions.resume(ME)
    assert (last.state, last.message) == ("stopped", ABANDONED_MESSAGE)
    assert seeds(last) == [7]
    assert last.images[0].path.exists()


def test_finished_images_are_released_from_memory():
    with running_sessions(grace_s=0.1) as (sessions, _, engine):
        list(sessions.generate(ME, VALUES | {"prompt": "a cat to forget", "images": 4}))
        wait_until(lambda: engine.request_count == 0)
        gc.collect()
        results = [each for each in gc.get_objects() if isinstance(each, Result)]
        results = [each for each in results if each.request.prompt == "a cat to forget"]
        assert len(results) <= 1  # the last one, in the engine's thread until the next request
        (last,) = sessions.resume(ME)
    assert len(last.images) == 4


def test_the_options_of_the_last_generation_are_remembered():
    with running_sessions() as (sessions, _, _):
        assert sessions.options(ME) is None
        asked = GenerationOptions({"prompt": "a cat"}, new_seed=True)
        list(sessions.generate(ME, VALUES, asked))
        assert sessions.options(ME) == asked
        list(sessions.generate(ME, VALUES))
        assert sessions.options(ME) == GenerationOptions({}, new_seed=False)


def test_a_rejected_request_leaves_the_last_generation_in_place():
    with running_sessions() as (sessions, _, _):
        *_, drawn = sessions.generate(ME, VALUES)
        (rejected,) = sessions.generate(ME, {"width": 1})
        assert rejected.state == "rejected"
        assert list(sessions.resume(ME)) == [drawn]


def test_a_new_generation_replaces_the_old_one_and_deletes_its_files():
    with running_sessions() as (sessions, _, _):
        *_, old = sessions.generate(ME, VALUES)
        *_, new = sessions.generate(ME, VALUES | {"seed": 70})
        assert list(sessions.resume(ME)) == [new]
        assert not old.images[0].path.exists()


def test_on_zerogpu_a_generation_ends_with_its_page():
    sessions = GenerationSessions(replace(fake_context(), engine=GeneratorEngine(FakePipeline().run)))
    views = sessions.generate(ME, VALUES)
    next(view for view in views if view.images)
    views.close()
    (last,) = sessions.resume(ME)
    assert last.state == "stopped"
    assert len(last.images) == 1


def test_the_queue_limit_of_a_client_counts_all_its_tabs():
    with running_sessions(max_session_images=2) as (sessions, gate, _):
        gate.hold()
        first = sessions.generate(ME, VALUES)
        next(first)
        (rejected,) = sessions.generate(ClientTab(ME.owner, "right"), VALUES)
        assert rejected.state == "rejected"
        assert "as many pictures in the queue as one user may have" in rejected.message
        other = sessions.generate(ClientTab("you" * 10, "left"), VALUES)
        assert next(other).state == "waiting"
        gate.release()
        assert [*first][-1].state == [*other][-1].state == "done"
        *_, last = sessions.generate(ClientTab(ME.owner, "right"), VALUES)
        assert last.state == "done"


def explore(sessions, view, position):
    """The last view of the neighbors of an image of a view."""
    middle = view.shown_images[position]
    *_, last = sessions.generate(ME, neighbor_values(middle, 0.5), middle=middle)
    return last


def test_the_views_that_led_to_an_image_are_shown_again():
    sessions = GenerationSessions(fake_context())
    *_, first = sessions.generate(ME, VALUES)
    second = explore(sessions, first, 1)
    third = explore(sessions, second, 4)
    assert (second.middle.index, second.middle.request) == (MIDDLE_INDEX, first.images[1].request)
    assert third.middle.request == second.images[3].request
    assert [each.images for each in third.before] == [first.images, second.images]
    for wrong in (-1, 2):
        assert sessions.go_back(ME, wrong) is None
    back = sessions.go_back(ME, 1)
    assert (back.images, back.middle, len(back.before)) == (second.images, second.middle, 1)
    assert sessions.view(ME) == back
    assert all(each.path.exists() for each in (*back.shown_images, *first.images))
    assert sessions.go_back(ME, 0).images == first.images


def test_an_image_of_an_earlier_view_leads_on_from_that_view():
    class Distinct(FakePipeline):
        def run(self, request, session):
            for event in super().run(request, session):
                composition = np.full((16, 6, 6), len(self.requests) + getattr(event, "index", 0) / 100)
                own = {"image_embeddings": encode_image_embeddings(composition)} if isinstance(event, Result) else {}
                yield replace(event, **own)

    sessions = GenerationSessions(fake_context(Distinct()))
    *_, first = sessions.generate(ME, VALUES)
    second = explore(sessions, first, 1)
    assert [each.images for each in second.before] == [first.images]
    other = explore(sessions, first, 0)
    assert [each.images for each in other.before] == [first.images]
    assert all(each.path.exists() for each in first.images)
    assert not any(each.path.exists() for each in second.images)


def test_a_generation_that_goes_on_from_nothing_forgets_the_way():
    sessions = GenerationSessions(fake_context())
    *_, first = sessions.generate(ME, VALUES)
    second = explore(sessions, first, 0)
    *_, other = sessions.generate(ME, VALUES)
    assert other.before == ()
    assert not any(each.path.exists() for each in (*first.images, *second.images))


def test_pictures_without_a_composition_lead_to_no_other():
    class Bare(FakePipeline):
        def run(self, request, session):
            for event in super().run(request, session):
                yield replace(event, image_embeddings="") if isinstance(event, Result) else event

    sessions = GenerationSessions(fake_context(Bare()))
    *_, first = sessions.generate(ME, VALUES)
    *_, second = sessions.generate(ME, VALUES)
    assert second.before == ()
    assert not any(each.path.exists() for each in first.images)


def test_only_the_newest_views_of_a_long_way_are_kept_with_their_files():
    sessions = GenerationSessions(fake_context())
    views = []
    *_, view = sessions.generate(ME, VALUES)
    for _ in range(MAX_EARLIER_VIEWS + 2):
        views.append(view)
        view = explore(sessions, view, 1)
    assert [each.request for each in view.before] == [each.request for each in views[2:]]
    assert all(image.path.exists() for each in (*views[2:], view) for image in each.shown_images)
    dropped = {image.path for each in views[:2] for image in each.images} - {view.before[0].middle.path}
    assert not any(path.exists() for path in dropped)


def test_a_client_that_goes_back_while_images_are_generated_stays_where_it_is():
    with running_sessions() as (sessions, gate, _):
        *_, first = sessions.generate(ME, VALUES)
        gate.hold()
        middle = replace(first.images[0], image_embeddings=EMBEDDINGS)
        next(sessions.generate(ME, neighbor_values(middle, 0.5), middle=middle))
        assert sessions.go_back(ME, 0) is None


def test_an_image_without_its_composition_has_no_neighbors():
    sessions = GenerationSessions(fake_context())
    *_, view = sessions.generate(ME, VALUES)
    assert neighbor_values(replace(view.images[0], image_embeddings=""), 0.5) is None
    assert render_neighbor_sheet(view) == ""
