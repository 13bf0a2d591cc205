"""Metrics of an engine: every event counted once, and no session, prompt or id in them."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.clients import Clock, ends, finish, make_request
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.errors import PromptError, QueueFull, UserError


def read(metrics):
    """Values by name, with the values of the labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        " ".join([sample.name.removeprefix("wuerst_"), *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


def ended(metrics):
    """Number of requests by end, without zeros."""
    prefix = "requests_ended_total "
    found = {name.removeprefix(prefix): n for name, n in read(metrics).items() if name.startswith(prefix)}
    return {end: n for end, n in found.items() if n}


@pytest.fixture
def metrics():
    return Metrics()


class Strict(FakeCascade):
    def begin(self, request):
        if "unreadable" in request.prompt:
            raise PromptError("Close the bracket.")
        return super().begin(request)


def test_every_request_ends_once_as_done_failed_cancelled_or_refused(metrics):
    engine = Engine(Strict(failing_pictures=[9]), max_images=100, max_session_images=2, observer=metrics)
    engine.submit(make_request(), "ann").cancel()
    kept = [engine.submit(make_request(images=2), session) for session in ("ben", "cid", "dan")]
    kept.append(engine.submit(make_request(seed=9), "eve"))
    kept.append(engine.submit(make_request(prompt="unreadable"), "fay"))
    with pytest.raises(QueueFull):
        engine.submit(make_request(), "ben")
    with pytest.raises(UserError):
        engine.submit(make_request(), "")
    finish(engine)
    assert [ends(ticket)[1] for ticket in kept][:3] == ["Done"] * 3
    assert ended(metrics) == {"done": 3, "failed": 2, "cancelled": 1, "refused": 2}
    assert read(metrics)["requests_submitted_total"] == 8


def test_an_abandoned_request_is_counted_once_as_cancelled(metrics):
    clock = Clock()
    engine = Engine(FakeCascade(), grace_s=5, clock=clock, observer=metrics)
    engine.submit(make_request(), "ann").close()
    clock.advance(6)
    finish(engine)
    clock.advance(6)
    finish(engine)
    assert ended(metrics) == {"cancelled": 1}


def test_closing_counts_the_requests_that_were_not_over_as_failed(metrics):
    engine = Engine(FakeCascade(), observer=metrics)
    held = [engine.submit(make_request(), session) for session in ("ann", "ben", "cid")]
    held[0].cancel()
    engine.close()
    engine.close()
    assert ended(metrics) == {"cancelled": 1, "failed": 2}


def test_waits_are_measured_from_the_submission(metrics):
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: clock.advance(1)), clock=clock, observer=metrics)
    held = engine.submit(make_request(prior_steps=2, decoder_steps=1), "ann")
    clock.advance(3)
    finish(engine)
    assert ends(held)[1] == "Done"
    found = read(metrics)
    assert found["queue_wait_seconds_sum"] == 3
    assert found["first_picture_seconds_sum"] == 3 + 2 + 1
    assert found["queue_wait_seconds_count"] == found["first_picture_seconds_count"] == 1


def test_a_request_without_a_step_has_no_wait(metrics):
    engine = Engine(FakeCascade(), observer=metrics)
    engine.submit(make_request(), "ann").cancel()
    finish(engine)
    assert read(metrics)["queue_wait_seconds_count"] == 0


def test_image_steps_are_counted_by_image_and_steps_by_pass(metrics):
    cascade = FakeCascade()
    engine = Engine(cascade, max_batch_size=4, observer=metrics)
    held = [
        engine.submit(make_request(images=n, seed=n), session) for session, n in (("ann", 1), ("ben", 3), ("cid", 2))
    ]
    finish(engine)
    assert [ends(ticket)[1] for ticket in held] == ["Done"] * 3
    found = read(metrics)
    rows = Counter(stage for rows in cascade.steps for _, stage, _ in rows)
    passes = Counter(rows[0][1] for rows in cascade.steps)
    assert rows == {"prior": 6 * 2, "decoder": 6 * 1}
    for stage in ("prior", "decoder"):
        assert found[f"row_steps_total {stage}"] == rows[stage]
        assert found[f"turn_seconds_count {stage}"] == found[f"batch_fill_count {stage}"] == passes[stage]
        assert found[f"batch_fill_sum {stage}"] == pytest.approx(rows[stage] / 4)
    assert found["row_steps_total text"] == 3
    assert found["row_steps_total vqgan"] == 6


def test_errors_are_counted_even_if_no_request_failed(metrics, caplog):
    caplog.set_level("CRITICAL")
    cascade = FakeCascade({0: MemoryError(), 3: RuntimeError("once")}, failing_pictures=[9])
    engine = Engine(cascade, observer=metrics)
    held = [engine.submit(make_request(seed=seed), f"client {seed}") for seed in (1, 2, 9)]
    finish(engine)
    assert [ends(ticket)[1] for ticket in held][:2] == ["Done", "Done"]
    found = read(metrics)
    assert {kind: found[f"errors_total {kind}"] for kind in ("memory", "fault", "picture")} == {
        "memory": 1,
        "fault": 1,
        "picture": 1,
    }


def test_images_are_counted_by_stage_and_memory_by_owner(metrics):
    engine = Engine(FakeCascade(), observer=metrics)
    metrics.add_gauges(lambda: engine.stage_counts, lambda: {"process": 5e9, "device": 7e9})
    held = [engine.submit(make_request(images=2), "ann"), engine.submit(make_request(images=3), "ben")]
    engine.step()

    def images():
        return {at: read(metrics)[f"rows {at}"] for at in ("waiting", "prior", "decoder", "vqgan")}

    assert images() == {"waiting": 3, "prior": 2, "decoder": 0, "vqgan": 0}
    assert read(metrics)["memory_bytes device"] == 7e9
    finish(engine)
    assert [ends(ticket)[1] for ticket in held] == ["Done", "Done"]
    assert sum(images().values()) == 0


def test_the_buckets_of_the_histograms_are_stable(metrics):
    bounds = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.labels.get("le", "+Inf") != "+Inf":
                bounds.setdefault(family.name.removeprefix("wuerst_"), []).append(float(sample.labels["le"]))
    waits = [0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600]
    assert bounds["queue_wait_seconds"] == bounds["first_picture_seconds"] == waits
    steps = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8]
    assert bounds["turn_seconds"] == steps * 4
    assert bounds["batch_fill"] == [k / 8 for k in range(1, 9)] * 2


def test_what_has_not_happened_yet_is_0_and_not_missing(metrics):
    found = read(metrics)
    for name in (
        "requests_ended_total refused",
        "errors_total fault",
        "row_steps_total prior",
        "turn_seconds_count text",
    ):
        assert found[name] == 0


def test_no_metric_contains_a_session_or_a_prompt(metrics):
    engine = Engine(FakeCascade(), observer=metrics)
    metrics.add_gauges(lambda: engine.stage_counts, dict)
    held = engine.submit(make_request(prompt="a secret fox", negative_prompt="a hidden dog"), "client-7")
    finish(engine)
    ends(held)
    text = metrics.render().decode()
    assert not [word for word in ("secret", "hidden", "client-7", held.id) if word in text]
