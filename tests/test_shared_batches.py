"""Engine on real networks: in any company, and whatever fails, an image is the same as alone."""

from __future__ import annotations

import dataclasses
import functools
import gc
import random
import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.clients import ends, results, tickets_of
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.request_queue import STOPPED_MESSAGE
from wuerst_demo.engine.request_state import RequestState
from wuerst_demo.engine.worker import FAILED_MESSAGE
from wuerst_demo.errors import DeviceLost, QueueFull, UserError
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.pipeline.image_state import ImageState, StageConditioning
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Limits


class Exact(Cascade):
    """Keeps the pixels of every image before rounding to eight bits, by the request of the image alone."""

    def __init__(self, components):
        super().__init__(components, Limits())
        self.pixels = {}

    def finish(self, states):
        self.pixels |= {state.request: self.decode([state])[0].clamp(0, 1) for state in states}
        return super().finish(states)


@pytest.fixture(scope="module")
def alone(components):
    """Function that gives the pixels of a request of one image, generated alone."""
    cascade = Exact(components)

    @functools.cache
    def generate(request):
        list(Engine(cascade).run(request))
        return cascade.pixels[request]

    return generate


@st.composite
def visits(draw):
    """(session, request, step of arrival, step of the cancel or None)"""
    request = Limits().request(
        {
            "prompt": draw(st.sampled_from(["a red cat", "a (dog)1.4 in the snow", ""])),
            "negative_prompt": draw(st.sampled_from(["", "rain"])),
            "seed": draw(st.integers(0, 20)),
            "images": draw(st.integers(1, 2)),
            "width": draw(st.sampled_from([128, 256])),
            "height": 128,
            "prior_steps": draw(st.integers(1, 3)),
            "prior_schedule": draw(st.sampled_from(["two-part", "linear"])),
            "decoder_steps": draw(st.integers(1, 2)),
            "prior_guidance": draw(st.sampled_from([0.0, 3.0, 5.5])),
            "decoder_guidance": draw(st.sampled_from([0.0, 1.5])),
        }
    )
    cancel = draw(st.none() | st.integers(0, 12))
    return draw(st.sampled_from(["ann", "ben", "cid"])), request, draw(st.integers(0, 6)), cancel


@pytest.mark.slow
@settings(max_examples=12, derandomize=True)
@given(
    crowd=st.lists(visits(), min_size=2, max_size=5),
    max_batch_size=st.integers(1, 6),
    max_extra_steps=st.sampled_from([0, 3]),
)
def test_on_real_networks_an_image_is_the_same_as_alone(components, alone, crowd, max_batch_size, max_extra_steps):
    cascade = Exact(components)
    engine = Engine(cascade, max_batch_size, max_images=1000, max_session_images=1000, max_extra_steps=max_extra_steps)
    for k, ticket in tickets_of(engine, crowd, steps=13).items():
        request = crowd[k][1]
        events, end = ends(ticket)
        found = results(events)
        assert end in ("Done", STOPPED_MESSAGE)
        assert len(found) == request.images or end == STOPPED_MESSAGE
        for result in found:
            assert result.request == request.image(result.index)
            single = alone(result.request)
            assert (cascade.pixels[result.request] - single).abs().max() <= 1e-4
            levels = np.asarray(result.image, float) / 255
            assert np.abs(levels - single.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 2e-4
    assert engine.request_count == 0


class Failing(Cascade):
    """Fails as the prompts say, and loses its device once, at the given step."""

    def __init__(self, components, lost_at):
        super().__init__(components, Limits())
        self.count, self.lost_at, self.checks = 0, lost_at, 0

    def step(self, states):
        self.count += 1
        if self.count == self.lost_at:
            raise DeviceLost("an illegal memory access")
        if len(states) > 5 or any("huge" in state.request.prompt for state in states):
            raise MemoryError
        if any("guilty" in state.request.prompt for state in states):
            raise RuntimeError("a fault of one image")
        return super().step([_broken(state) if "broken" in state.request.prompt else state for state in states])

    def health_check(self):
        self.checks += 1
        super().health_check()


def _broken(state):
    return dataclasses.replace(state, latents=state.latents * float("nan")) if state.step == 1 else state


KINDS = ["a fine cat"] * 8 + ["huge", "guilty", "broken", "stop", "leave", "slow", "back"]
MESSAGES = {
    "huge": "not have enough memory",
    "guilty": "failed because of an error",
    "broken": "not finite",
    "stop": "was stopped",
}


@pytest.mark.slow
def test_on_the_cocktail_60_mixed_requests_each_end_once_and_leave_nothing(caplog):
    """60 requests of 12 clients: out of memory, faults, values that are not finite, cancels, readers that are slow,
    leave or come back, and a device that is lost on the way."""
    from wuerst_demo.checkpoints.resolve import resolve_checkpoint
    from wuerst_demo.devices.placement import decide_placement
    from wuerst_demo.networks.loader import load_components

    caplog.set_level("CRITICAL")
    components = load_components(resolve_checkpoint(None), decide_placement(PlacementOptions("cpu")))
    rng = random.Random(11)
    requests = [
        Limits().request(
            {
                "prompt": rng.choice(KINDS),
                "seed": k,
                "images": rng.choice([1, 1, 2]),
                "width": 256,
                "height": 256,
                "prior_steps": rng.randint(2, 4),
                "decoder_steps": 1,
                "prior_guidance": rng.choice([0.0, 4.0]),
            }
        )
        for k in range(60)
    ]
    before = count_objects()
    outcomes, pictures, checks = run_clients(components, requests)
    assert not [outcome for outcome in outcomes if outcome.startswith("wrong")], outcomes
    assert outcomes.total() == 60
    assert outcomes["drawn"] >= 25
    assert checks == 1
    assert count_objects() == before
    alone_engine = Engine(Cascade(components, Limits()))
    for request in rng.sample(sorted(pictures, key=lambda each: each.seed), 6):
        (again,) = results(alone_engine.run(request))
        difference = np.abs(np.asarray(again.image, int) - np.asarray(pictures[request], int))
        assert difference.max() <= 1


def run_clients(components, requests):
    """Number of requests by outcome, the pictures by request, and the number of health checks."""
    outcomes, guard, pictures = Counter(), threading.Lock(), {}
    cascade = Failing(components, lost_at=25)

    def live(client):
        for request in requests[client * 5 : client * 5 + 5]:
            outcome = run_client(engine, request, f"client {client}", pictures)
            with guard:
                outcomes[outcome] += 1

    with Engine(cascade, grace_s=60, max_images=30) as engine:
        clients = [threading.Thread(target=live, args=(client,)) for client in range(12)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        assert engine.alive
    assert engine.request_count == 0
    return outcomes, pictures, cascade.checks


def count_objects():
    """Number of image states, request states and tensors."""
    gc.collect()
    things = gc.get_objects()
    return {
        kind: sum(type(thing) is kind for thing in things)
        for kind in (ImageState, RequestState, StageConditioning, torch.Tensor)
    }


def run_client(engine, request, session, pictures):
    """Run one request in the way of its kind; returns the outcome, "wrong ..." if it is unexpected. After a lost device
    it is submitted again."""
    kind = request.prompt.split()[-1]
    while True:
        try:
            ticket = engine.submit(request, session)
        except (QueueFull, UserError):
            time.sleep(0.05)
            continue
        seen = []
        if kind == "leave":
            next(ticket)
            ticket.close()
            return "left"
        if kind == "stop":
            engine.cancel(ticket.id, session)
        if kind == "slow":
            time.sleep(0.1)
        if kind == "back":
            ticket.close()
            try:
                ticket = engine.attach(ticket.id, session)
            except UserError:  # everything ended with the device meanwhile
                continue
        seen, end = ends(ticket)
        if end == FAILED_MESSAGE:
            continue
        break
    found = results(seen)
    if any(result.request != request.image(result.index) for result in found):
        return "wrong picture"
    if kind in MESSAGES:
        return kind if MESSAGES[kind] in end else f"wrong reason: {kind}: {end}"
    if sorted(result.index for result in found) != list(range(request.images)) or end != "Done":
        return f"wrong: {len(found)} of {request.images}, {end}"
    pictures.update({result.request: result.image for result in found})
    return "drawn"
