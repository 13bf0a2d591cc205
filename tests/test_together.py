"""The page's engine on real networks: whatever company a row has, and whatever goes wrong, a picture is its own."""

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

from tests.engine.crowd import ends, results, tickets_of
from wuerst_demo.engine.flight import Flight
from wuerst_demo.engine.flights import STOPPED
from wuerst_demo.engine.inline import Inline
from wuerst_demo.engine.local import Local
from wuerst_demo.engine.owner import FAILED
from wuerst_demo.errors import Busy, DeviceLost, UserError
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.row import Leg, Row
from wuerst_demo.request import Limits


class Exact(Cascade):
    """Keeps the pixels of every picture as they were before they became eight bits, by what draws it alone."""

    def __init__(self, parts):
        super().__init__(parts, Limits())
        self.pixels = {}

    def finish(self, rows):
        self.pixels |= {row.request: self.decode([row])[0].clamp(0, 1) for row in rows}
        return super().finish(rows)


@pytest.fixture(scope="module")
def alone(parts):
    """The pixels of a request of one image that has the device to itself."""
    cascade = Exact(parts)

    @functools.cache
    def drawn(wish):
        list(Inline(cascade).run(wish))
        return cascade.pixels[wish]

    return drawn


@st.composite
def visits(draw):
    """(person, request, turn of arrival, turn of the cancel or None)"""
    wish = Limits().request(
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
    return draw(st.sampled_from(["ann", "ben", "cid"])), wish, draw(st.integers(0, 6)), cancel


@pytest.mark.slow
@settings(max_examples=12, derandomize=True)
@given(crowd=st.lists(visits(), min_size=2, max_size=5), rows_at_once=st.integers(1, 6), stay=st.sampled_from([0, 3]))
def test_on_real_networks_a_picture_is_the_one_it_would_be_alone(parts, alone, crowd, rows_at_once, stay):
    cascade = Exact(parts)
    engine = Local(cascade, rows_at_once, waiting=1000, per_session=1000, stay=stay)
    for k, ticket in tickets_of(engine, crowd, turns=13).items():
        wish = crowd[k][1]
        events, end = ends(ticket)
        found = results(events)
        assert end in ("Done", STOPPED)
        assert len(found) == wish.images or end == STOPPED
        for result in found:
            assert result.request == wish.image(result.image)
            single = alone(result.request)
            assert (cascade.pixels[result.request] - single).abs().max() <= 1e-4
            levels = np.asarray(result.picture, float) / 255
            assert np.abs(levels - single.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 2e-4
    assert not engine._flights


class Stormy(Cascade):
    """Does to rows what their prompts say, and loses its device once, at the given step."""

    def __init__(self, parts, lost_at):
        super().__init__(parts, Limits())
        self.count, self.lost_at, self.probes = 0, lost_at, 0

    def step(self, rows):
        self.count += 1
        if self.count == self.lost_at:
            raise DeviceLost("an illegal memory access")
        if len(rows) > 5 or any("huge" in row.request.prompt for row in rows):
            raise MemoryError
        if any("guilty" in row.request.prompt for row in rows):
            raise RuntimeError("a guilty row")
        return super().step([_withered(row) if "withered" in row.request.prompt else row for row in rows])

    def probe(self):
        self.probes += 1
        super().probe()


def _withered(row):
    return dataclasses.replace(row, latents=row.latents * float("nan")) if row.step == 1 else row


KINDS = ["a fine cat"] * 8 + ["huge", "guilty", "withered", "stop", "leave", "slow", "back"]
SAID = {
    "huge": "not enough memory",
    "guilty": "could not be drawn",
    "withered": "not numbers",
    "stop": "was stopped",
}


@pytest.mark.slow
def test_in_a_storm_on_the_cocktail_every_request_ends_once_and_nothing_is_left(caplog):
    """60 requests of 12 people: out of memory, faults, values that are no numbers, cancels, readers who are slow, leave
    or come back, and a device that is lost on the way."""
    from wuerst_demo.model.checkpoint import load_parts
    from wuerst_demo.model.files import locate
    from wuerst_demo.model.placement import decide

    caplog.set_level("CRITICAL")
    parts = load_parts(locate(None), decide("cpu"))
    chance = random.Random(11)
    wishes = [
        Limits().request(
            {
                "prompt": chance.choice(KINDS),
                "seed": k,
                "images": chance.choice([1, 1, 2]),
                "width": 256,
                "height": 256,
                "prior_steps": chance.randint(2, 4),
                "decoder_steps": 1,
                "prior_guidance": chance.choice([0.0, 4.0]),
            }
        )
        for k in range(60)
    ]
    before = census()
    told, pictures, probes = stormed(parts, wishes)
    assert not [outcome for outcome in told if outcome.startswith("wrong")], told
    assert told.total() == 60
    assert told["drawn"] >= 25
    assert probes == 1
    assert census() == before
    inline = Inline(Cascade(parts, Limits()))
    for request in chance.sample(sorted(pictures, key=lambda each: each.seed), 6):
        (again,) = results(inline.run(request))
        difference = np.abs(np.asarray(again.picture, int) - np.asarray(pictures[request], int))
        assert difference.max() <= 1


def stormed(parts, wishes):
    """What came of each request, the pictures by what draws them, and how often the device was asked."""
    told, guard, pictures = Counter(), threading.Lock(), {}
    cascade = Stormy(parts, lost_at=25)

    def live(person):
        for wish in wishes[person * 5 : person * 5 + 5]:
            outcome = visited(engine, wish, f"person {person}", pictures)
            with guard:
                told[outcome] += 1

    with Local(cascade, grace=60, waiting=30) as engine:
        people = [threading.Thread(target=live, args=(person,)) for person in range(12)]
        for each in people:
            each.start()
        for each in people:
            each.join()
        assert engine.alive
    assert not engine._flights
    return told, pictures, cascade.probes


def census():
    """How many rows, flights and tensors there are."""
    gc.collect()
    things = gc.get_objects()
    return {kind: sum(type(thing) is kind for thing in things) for kind in (Row, Flight, Leg, torch.Tensor)}


def visited(engine, wish, session, pictures):
    """One request in the way of its kind; what came of it, "wrong ..." if it should not have. A device that is lost is
    nobody's fault: it is asked for again."""
    kind = wish.prompt.split()[-1]
    while True:
        try:
            ticket = engine.submit(wish, session)
        except (Busy, UserError):
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
        if end == FAILED:
            continue
        break
    found = results(seen)
    if any(result.request != wish.image(result.image) for result in found):
        return "wrong picture"
    if kind in SAID:
        return kind if SAID[kind] in end else f"wrong reason: {kind}: {end}"
    if sorted(result.image for result in found) != list(range(wish.images)) or end != "Done":
        return f"wrong: {len(found)} of {wish.images}, {end}"
    pictures.update({result.request: result.picture for result in found})
    return "drawn"
