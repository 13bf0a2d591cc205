"""Whatever company a request has in the page's engine, its pictures are those that it has alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.crowd import ends, request, results, tickets_of
from tests.fakes import FakeCascade
from wuerst_demo.engine.flights import STOPPED
from wuerst_demo.engine.inline import Inline
from wuerst_demo.engine.local import Local


@st.composite
def visits(draw):
    """(person, request, turn of arrival, turn of the cancel or None)"""
    wish = request(
        prompt=draw(st.sampled_from(["a cat", "a dog", "a very long prompt about a cat and a dog"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        images=draw(st.integers(1, 5)),
        width=draw(st.sampled_from([128, 256])),
        height=128,
        prior_steps=draw(st.integers(1, 4)),
        decoder_steps=draw(st.integers(1, 3)),
        prior_guidance=draw(st.sampled_from([0.0, 4.0])),
        decoder_guidance=draw(st.sampled_from([0.0, 2.0])),
    )
    cancel = draw(st.none() | st.integers(0, 40))
    return draw(st.sampled_from(["ann", "ben", "cid", "dan"])), wish, draw(st.integers(0, 30)), cancel


@settings(max_examples=100)
@given(st.lists(visits(), min_size=1, max_size=8), st.integers(1, 6))
def test_every_picture_comes_to_whoever_asked_and_is_the_one_it_would_be_alone(crowd, rows_at_once):
    engine = Local(FakeCascade(), rows_at_once, waiting=1000, per_session=1000)
    for k, ticket in tickets_of(engine, crowd, turns=42).items():
        wish = crowd[k][1]
        events, end = ends(ticket)
        found = results(events)
        assert end in ("Done", STOPPED)
        assert len({result.image for result in found}) == len(found)
        assert len(found) == wish.images or end == STOPPED
        alone = {result.image: result for result in results(Inline(FakeCascade()).run(wish))}
        for result in found:
            assert result.request == wish.image(result.image)
            assert result.picture.tobytes() == alone[result.image].picture.tobytes()
    assert not engine._flights
