"""Second run of images that keeps their steps, and pages that re-attach to it."""

from dataclasses import replace

import pytest

from tests.fakes.cascade import FakeCascade
from tests.fakes.web import LIMITS, FakePipeline, FakeStageEngine, StepGate, expected_image, fake_context
from wuerst_demo.engine.engine import Engine
from wuerst_demo.web.explain.runner import NO_STEPS_ERROR, ExplanationRun, ExplanationSessions
from wuerst_demo.web.shared.sessions import ClientTab
from wuerst_demo.web.shared.view import OPENED_ELSEWHERE_MESSAGE

REQUEST = LIMITS.request({"prompt": "a cat", "seed": 7})
CLIENT = ClientTab("somebody", "tab")


def describe(results):
    """A report for tests: prompts, steps and pictures."""
    return "; ".join(
        f"{each.request.prompt}, {len(each.stages.prior)} + {len(each.stages.decoder)} steps, {each.image.size}"
        for each in results
    )


def follow(engine, *requests):
    return list(ExplanationRun(engine, requests, describe, "somebody").follow())


def test_the_image_is_generated_again_with_its_stages_and_progress_never_falls():
    pipeline, pictures = FakePipeline(), []
    run = ExplanationRun(FakeStageEngine(pipeline), [REQUEST], lambda results: pictures.extend(results) or "x", "a")
    seen = list(run.follow())
    assert [each.state for each in seen] == ["running"] * (len(seen) - 1) + ["done"]
    assert [each.fraction for each in seen] == sorted(each.fraction for each in seen)
    assert [each.report for each in seen] == [""] * (len(seen) - 1) + ["x"]
    assert pipeline.requests == [REQUEST]
    assert len(pictures[0].stages.prior) == REQUEST.prior_steps
    assert pictures[0].image.tobytes() == expected_image(REQUEST).tobytes()


def test_two_images_share_one_report_and_one_progress():
    seen = follow(FakeStageEngine(FakePipeline()), REQUEST, replace(REQUEST, prompt="a dog", prior_steps=3))
    assert seen[-1].report == "a cat, 12 + 6 steps, (256, 256); a dog, 3 + 6 steps, (256, 256)"
    assert [each.fraction for each in seen] == sorted(each.fraction for each in seen)


def test_an_engine_without_stages_is_reported():
    last = follow(fake_context().engine, REQUEST)[-1]
    assert (last.state, last.message, last.report) == ("rejected", NO_STEPS_ERROR, "")


@pytest.mark.parametrize(("prompt", "state"), [("break", "failed"), ("refuse", "rejected")])
def test_an_internal_error_and_a_rejection_end_with_one_message(prompt, state, caplog):
    last = follow(fake_context().engine, replace(REQUEST, prompt=prompt))[-1]
    assert last.state == state
    assert "secret" not in last.message


@pytest.fixture
def gate():
    gate = StepGate()
    gate.hold_before = 5
    yield gate
    gate.release()


@pytest.fixture
def engine(gate):
    with Engine(FakeCascade(between=gate), max_batch_size=1, grace_s=60) as engine:
        yield engine
        gate.release()


def until_running(views):
    """The first view that is running. The engine is held before its fifth step."""
    return next(each for each in views if each.state == "running")


def test_a_reader_that_leaves_midway_finds_the_running_explanation_again(engine, gate):
    sessions = ExplanationSessions(engine, describe)
    views = sessions.explain(CLIENT, [REQUEST])
    before = until_running(views)
    views.close()
    gate.release()
    *_, last = sessions.find(CLIENT).follow()
    assert last.state == "done"
    assert last.report == "a cat, 12 + 6 steps, (32, 32)"
    assert before.fraction < 1
    (again,) = sessions.find(CLIENT).follow()
    assert again == last


def test_what_the_engine_has_forgotten_is_generated_once_more():
    pipeline = FakePipeline()
    run = ExplanationRun(FakeStageEngine(pipeline), [REQUEST], describe, "somebody")
    views = run.follow()
    next(views)
    views.close()
    assert pipeline.running == 0
    *_, last = run.follow()
    assert last.report.startswith("a cat")
    assert pipeline.requests == [REQUEST] * 2


def test_an_earlier_reader_is_told_that_another_has_taken_over(engine, gate):
    run = ExplanationRun(engine, [REQUEST], describe, "somebody")
    first = run.follow()
    until_running(first)
    second = run.follow()
    next(second)
    gate.release()
    *_, last = first
    assert (last.state, last.message) == ("stopped", OPENED_ELSEWHERE_MESSAGE)
    *_, last = second
    assert last.state == "done"


def test_stopping_ends_it_with_or_without_a_reader(engine, gate):
    run = ExplanationRun(engine, [REQUEST], describe, "somebody")
    views = run.follow()
    until_running(views)
    run.stop()
    gate.release()
    *_, last = views
    assert (last.state, last.report) == ("stopped", "")
    unread = ExplanationRun(engine, [REQUEST], describe, "somebody")
    unread.stop()
    assert unread.over
    (last,) = unread.follow()
    assert last.state == "stopped"


def test_a_new_explanation_ends_the_one_before_and_a_rejected_one_does_not(engine, gate):
    sessions = ExplanationSessions(engine, describe)
    views = sessions.explain(CLIENT, [REQUEST])
    until_running(views)
    large = replace(REQUEST, images=999)
    *_, rejected = sessions.explain(CLIENT, [large])
    assert rejected.state == "rejected"
    other = sessions.explain(CLIENT, [replace(REQUEST, seed=8)])
    next(other, None)
    gate.release()
    *_, last = views
    assert last.state == "stopped"
