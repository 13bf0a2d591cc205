"""Failures of a step: faults, and images that take others down with them."""

from __future__ import annotations

import pytest

from tests.engine.clients import ends, finish, make_request, results
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine
from wuerst_demo.errors import PromptError, UserError


def test_only_the_faulty_image_fails_and_the_log_has_the_cause(caplog):
    def fault(states):
        return RuntimeError("a fault of ours") if any(state.request.seed == 2 for state in states) else None

    engine = Engine(FakeCascade(fault=fault))
    tickets = [engine.submit(make_request(seed=seed), f"client {seed}") for seed in range(4)]
    finish(engine)
    for seed, ticket in enumerate(tickets):
        if seed == 2:
            with pytest.raises(UserError, match=r"server's log.*; try again"):
                list(ticket)
        else:
            assert len(results(ticket)) == 1
    assert "a fault of ours" in caplog.text
    assert "a red cat" not in caplog.text


def test_a_fault_that_does_not_recur_costs_no_image():
    cascade = FakeCascade(failures={0: RuntimeError("once"), 4: RuntimeError("again")})
    engine = Engine(cascade)
    tickets = [engine.submit(make_request(seed=seed), f"client {seed}") for seed in range(2)]
    finish(engine)
    assert [len(results(ticket)) for ticket in tickets] == [1, 1]


def test_a_prompt_that_cannot_be_read_ends_only_its_request():
    class Strict(FakeCascade):
        def begin(self, request):
            if "(" in request.prompt:
                raise PromptError("Close the bracket.")
            if "!" in request.prompt:
                raise RuntimeError("a fault of ours")
            return super().begin(request)

    engine = Engine(Strict())
    tickets = [engine.submit(make_request(prompt=prompt), "ann") for prompt in ("(a cat", "a cat!", "a cat")]
    finish(engine)
    with pytest.raises(PromptError, match="Close the bracket"):
        list(tickets[0])
    with pytest.raises(UserError, match="server's log"):
        list(tickets[1])
    assert len(results(tickets[2])) == 1


def test_a_failed_image_leaves_the_images_of_other_requests():
    cascade = FakeCascade(failing_steps=[(8, "prior", 1), (80, "decoder", 0)], failing_pictures=[91])
    engine = Engine(cascade)
    seeds = (80, 90, 91)
    gone, other, spoilt = (engine.submit(make_request(seed=seed), f"client {seed}") for seed in seeds)
    ticket = engine.submit(make_request(images=3, seed=7, prior_steps=4), "ann")
    finish(engine)
    seen, end = ends(ticket)
    assert [result.index for result in results(seen)] == [0, 2]
    assert "step has failed" in end
    assert "step has failed" in ends(gone)[1]
    assert "picture has failed" in ends(spoilt)[1]
    assert len(results(other)) == 1
    steps = [(seed, stage, step) for states in cascade.steps for seed, stage, step in states]
    assert not any(seed == 8 and (stage, step) > ("prior", 1) for seed, stage, step in steps)
    assert engine.step() is False


def test_a_missing_result_is_a_fault_and_never_another_images_picture():
    class Losing(FakeCascade):
        def step(self, states):
            return super().step(states)[1:]

    engine = Engine(Losing())
    ticket = engine.submit(make_request(images=2), "ann")
    finish(engine)
    assert ends(ticket)[1].startswith("This failed because of an error")
