"""The simulated device: an engine runs on it as on any, and a step takes its time whatever the batch."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from tests.engine.clients import Clock, finish, make_request, results
from wuerst_demo.benchmarks import simulated_device
from wuerst_demo.benchmarks.simulated_device import LoadSimulated, SimulatedPipeline
from wuerst_demo.engine.engine import Engine


def test_a_batch_takes_as_long_as_one_image():
    clock = Clock()
    with patch.object(simulated_device.time, "sleep", clock.advance):
        for images in (1, 8):
            start = clock.now
            engine = Engine(SimulatedPipeline(2.0), clock=clock)
            ticket = engine.submit(make_request(images=images, width=128, height=128), "ann")
            finish(engine)
            assert [result.image.size for result in results(ticket)] == [(128, 128)] * images
            assert clock.now - start == pytest.approx(3 * 2.0 + (1 + images) * 0.1)


def test_a_replica_loads_it():
    loaded = LoadSimulated(0.5)(1)
    assert loaded.pipeline == SimulatedPipeline(0.5)
    assert loaded.description.device == "simulated"
