"""Who is served when and with whom. Only orders, counts and owners; no durations."""

from __future__ import annotations

import itertools
import random
import threading

import pytest

from tests.engine.clients import Clock
from tests.fakes.cascade import FakeCascade
from wuerst_demo.benchmarks.workload import (
    Arrival,
    mixed_sizes,
    poisson_times,
    serve_sequentially,
    serve_with_engine,
)
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.observer import EngineObserver
from wuerst_demo.errors import UserError
from wuerst_demo.request import Limits

SMALL, WIDE = (128, 128), (256, 128)


def arrival(client, size=SMALL, at_s=0.0):
    values = {"prompt": f"number {client}", "seed": client, "prior_steps": 2, "decoder_steps": 1}
    return Arrival(client, at_s, Limits().request({**values, "width": size[0], "height": size[1]}))


class FakeBaseline:
    """Records its calls; an image takes a second."""

    def __init__(self):
        self.calls = []
        self.clock = Clock()

    def __call__(self, request):
        self.calls.append((request.prompt, request.images))
        self.clock.advance(request.images)

    def serve(self, arrivals, batch_size=1):
        latencies = serve_sequentially(self, arrivals, batch_size, self.clock, self.clock.advance)
        check(latencies, arrivals)
        return {each.client: (each.image_s, each.finished_at_s) for each in latencies}


def check(latencies, arrivals):
    """Every client has one image, after its arrival and not after the end."""
    assert sorted(each.client for each in latencies) == [arrival.client for arrival in arrivals]
    at_s = {arrival.client: arrival.at_s for arrival in arrivals}
    for each in latencies:
        assert each.image_s >= 0
        assert each.finished_at_s == pytest.approx(at_s[each.client] + each.image_s)
        assert each.preview_s is None or 0 <= each.preview_s <= each.image_s


@pytest.mark.parametrize("size", [(256, 256), (1024, 1024)])
def test_mixed_sizes_are_three_valid_sizes(size):
    assert len(set(mixed_sizes(size))) == 3
    for width, height in mixed_sizes(size):
        Limits().request({"prompt": "", "width": width, "height": height})


def test_poisson_times_have_the_rate_and_variance_of_the_process():
    times = poisson_times(20_001, 4.0, random.Random(1))
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert times[0] == 0
    assert min(gaps) >= 0
    assert mean == pytest.approx(1 / 4, rel=0.03)
    assert variance == pytest.approx(1 / 16, rel=0.1)  # an exponential gap's deviation is its mean


def test_poisson_times_depend_on_the_seed_only():
    one, again, other = (poisson_times(9, 1.0, random.Random(seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_sequential_clients_are_served_alone_in_order_of_arrival():
    baseline = FakeBaseline()
    served = baseline.serve([arrival(0), arrival(1, WIDE), arrival(2, at_s=0.5), arrival(3, at_s=9)])
    assert served == {0: (1, 1), 1: (2, 2), 2: (2.5, 3), 3: (1, 10)}
    assert baseline.calls == [(f"number {k}", 1) for k in range(4)]


def test_with_one_prompt_clients_of_one_size_are_served_together():
    baseline = FakeBaseline()
    served = baseline.serve([arrival(0), arrival(1, WIDE), arrival(2), arrival(3), arrival(4, WIDE)], batch_size=2)
    assert served == {0: (2, 2), 2: (2, 2), 1: (4, 4), 4: (4, 4), 3: (5, 5)}
    assert baseline.calls == [("number 0", 2), ("number 1", 2), ("number 3", 1)]


def test_a_later_client_is_not_served_with_earlier_ones():
    baseline = FakeBaseline()
    assert baseline.serve([arrival(0), arrival(1, at_s=0.05)], batch_size=8) == {0: (1, 1), 1: (1.95, 2)}
    assert baseline.calls == [("number 0", 1), ("number 1", 1)]


def test_the_engine_shares_steps_and_gives_every_client_an_image():
    everybody = threading.Event()

    class Door(EngineObserver):
        """Lets the first step begin when the fifth client has arrived."""

        arrived = 0

        def submitted(self):
            self.arrived += 1
            if self.arrived == 5:
                everybody.set()

    cascade = FakeCascade(between=lambda: everybody.wait(200))
    with Engine(cascade, observer=Door()) as engine:
        arrivals = [arrival(k) for k in range(5)]
        check(serve_with_engine(engine, arrivals), arrivals)
    assert sum(len(states) for states in cascade.steps) == 5 * (2 + 1)
    assert max(len(states) for states in cascade.steps) > 1


def test_clients_who_come_back_request_other_images_one_after_another():
    cascade = FakeCascade()
    with Engine(cascade) as engine:
        latencies = serve_with_engine(engine, [arrival(0), arrival(1)], images_each=3)
    assert sorted(each.client for each in latencies) == [0, 0, 0, 1, 1, 1]
    assert {seed for images in cascade.steps for seed, _, _ in images} == set(range(6))
    for client in (0, 1):
        own = sorted((each for each in latencies if each.client == client), key=lambda each: each.finished_at_s)
        for before, after in itertools.pairwise(own):
            assert after.finished_at_s - after.image_s >= before.finished_at_s


def test_a_failed_image_ends_the_measurement():
    with Engine(FakeCascade(failing_pictures=[1])) as engine, pytest.raises(UserError, match="picture has failed"):
        serve_with_engine(engine, [arrival(0), arrival(1)])
