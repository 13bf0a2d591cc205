"""What an engine tells to whoever counts: everything once, as it happened, and nothing about people."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.crowd import Clock, ends, finish, request
from tests.fakes import FakeCascade
from wuerst_demo.engine.local import Local
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.errors import Busy, PromptError, UserError


def read(metrics):
    """Name of a number, with its labels' values -> the number."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        " ".join([sample.name.removeprefix("wuerst_"), *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


def ended(metrics):
    """How many requests came to which end; those to which none came are left out."""
    prefix = "requests_ended_total "
    found = {name.removeprefix(prefix): n for name, n in read(metrics).items() if name.startswith(prefix)}
    return {end: n for end, n in found.items() if n}


@pytest.fixture
def metrics():
    return Metrics()


class Reading(FakeCascade):
    def begin(self, request):
        if "unreadable" in request.prompt:
            raise PromptError("Close the bracket.")
        return super().begin(request)


def test_every_request_ends_once_as_done_failed_cancelled_or_refused(metrics):
    engine = Local(Reading(spoilt=[9]), waiting=100, per_session=2, watch=metrics)
    engine.submit(request(), "ann").cancel()
    kept = [engine.submit(request(images=2), person) for person in ("ben", "cid", "dan")]
    kept.append(engine.submit(request(seed=9), "eve"))
    kept.append(engine.submit(request(prompt="unreadable"), "fay"))
    with pytest.raises(Busy):
        engine.submit(request(), "ben")
    with pytest.raises(UserError):
        engine.submit(request(), "")
    finish(engine)
    assert [ends(ticket)[1] for ticket in kept][:3] == ["Done"] * 3
    assert ended(metrics) == {"done": 3, "failed": 2, "cancelled": 1, "refused": 2}
    assert read(metrics)["requests_submitted_total"] == 8


def test_a_request_that_nobody_reads_is_cancelled_once_however_often_it_is_looked_for(metrics):
    clock = Clock()
    engine = Local(FakeCascade(), grace=5, clock=clock, watch=metrics)
    engine.submit(request(), "ann").close()
    clock.pass_by(6)
    finish(engine)
    clock.pass_by(6)
    finish(engine)
    assert ended(metrics) == {"cancelled": 1}


def test_what_a_closing_engine_ends_has_failed_but_for_what_was_over(metrics):
    engine = Local(FakeCascade(), watch=metrics)
    held = [engine.submit(request(), person) for person in ("ann", "ben", "cid")]
    held[0].cancel()
    engine.close()
    engine.close()
    assert ended(metrics) == {"cancelled": 1, "failed": 2}


def test_waits_are_counted_from_the_coming_of_a_request(metrics):
    clock = Clock()
    engine = Local(FakeCascade(between=lambda: clock.pass_by(1)), clock=clock, watch=metrics)
    held = engine.submit(request(prior_steps=2, decoder_steps=1), "ann")
    clock.pass_by(3)
    finish(engine)
    assert ends(held)[1] == "Done"
    found = read(metrics)
    assert found["queue_wait_seconds_sum"] == 3
    assert found["first_picture_seconds_sum"] == 3 + 2 + 1
    assert found["queue_wait_seconds_count"] == found["first_picture_seconds_count"] == 1


def test_a_request_that_never_had_a_turn_has_no_wait(metrics):
    engine = Local(FakeCascade(), watch=metrics)
    engine.submit(request(), "ann").cancel()
    finish(engine)
    assert read(metrics)["queue_wait_seconds_count"] == 0


def test_steps_are_counted_by_row_and_turns_by_pass(metrics):
    cascade = FakeCascade()
    engine = Local(cascade, rows_at_once=4, watch=metrics)
    held = [engine.submit(request(images=n, seed=n), person) for person, n in (("ann", 1), ("ben", 3), ("cid", 2))]
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


def test_what_went_wrong_at_the_device_is_counted_also_where_nobody_suffered(metrics, caplog):
    caplog.set_level("CRITICAL")
    cascade = FakeCascade({0: MemoryError(), 3: RuntimeError("once")}, spoilt=[9])
    engine = Local(cascade, watch=metrics)
    held = [engine.submit(request(seed=seed), f"person {seed}") for seed in (1, 2, 9)]
    finish(engine)
    assert [ends(ticket)[1] for ticket in held][:2] == ["Done", "Done"]
    found = read(metrics)
    assert {kind: found[f"errors_total {kind}"] for kind in ("memory", "fault", "picture")} == {
        "memory": 1,
        "fault": 1,
        "picture": 1,
    }


def test_rows_are_found_where_they_stand_and_memory_as_it_is_told(metrics):
    engine = Local(FakeCascade(), watch=metrics)
    metrics.ask(lambda: engine.standing, lambda: {"process": 5e9, "device": 7e9})
    held = [engine.submit(request(images=2), "ann"), engine.submit(request(images=3), "ben")]
    engine._turn()

    def rows():
        return {at: read(metrics)[f"rows {at}"] for at in ("waiting", "prior", "decoder", "vqgan")}

    assert rows() == {"waiting": 3, "prior": 2, "decoder": 0, "vqgan": 0}
    assert read(metrics)["memory_bytes device"] == 7e9
    finish(engine)
    assert [ends(ticket)[1] for ticket in held] == ["Done", "Done"]
    assert sum(rows().values()) == 0


def test_what_has_not_happened_yet_is_nought_and_not_missing(metrics):
    found = read(metrics)
    for name in (
        "requests_ended_total refused",
        "errors_total fault",
        "row_steps_total prior",
        "turn_seconds_count text",
    ):
        assert found[name] == 0


def test_no_number_tells_of_a_person_or_of_a_prompt(metrics):
    engine = Local(FakeCascade(), watch=metrics)
    metrics.ask(lambda: engine.standing, dict)
    held = engine.submit(request(prompt="a secret fox", negative_prompt="a hidden dog"), "somebody")
    finish(engine)
    ends(held)
    text = metrics.text().decode()
    assert not [word for word in ("secret", "hidden", "somebody", held.id) if word in text]
