from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from wuerst_demo.bench.arrivals import at_once, mixed, stream
from wuerst_demo.request import Limits


def test_all_at_once_is_at_once_and_everybody_is_there():
    assert [(visit.person, visit.at) for visit in at_once(3, [(256, 256)])] == [(0, 0.0), (1, 0.0), (2, 0.0)]


def test_mixed_shapes_go_round_among_the_people():
    sizes = Counter(visit.size for visit in at_once(16, mixed((256, 256))))
    assert len(sizes) == 3
    assert max(sizes.values()) - min(sizes.values()) <= 1


@pytest.mark.parametrize("size", [(256, 256), (1024, 1024)])
def test_mixed_shapes_can_be_asked_for(size):
    for width, height in mixed(size):
        Limits().request({"prompt": "", "width": width, "height": height})


def test_a_stream_comes_as_often_as_was_asked_and_as_unevenly_as_a_poisson_stream_does():
    visits = stream(20_001, [(256, 256)], 4.0, random.Random(1))
    gaps = [later.at - visit.at for visit, later in itertools.pairwise(visits)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert visits[0].at == 0
    assert min(gaps) >= 0
    assert mean == pytest.approx(1 / 4, rel=0.03)
    assert variance == pytest.approx(1 / 16, rel=0.1)  # an exponential gap's deviation is its mean


def test_the_same_chance_gives_the_same_stream_and_another_another():
    one, again, other = (stream(9, [(256, 256)], 1.0, random.Random(seed)) for seed in (1, 1, 2))
    assert one == again != other
