"""Steps: the latent estimates of every step, kept for the requests that want them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.clients import CORE_DRIVERS, finish, make_request, results, run_with
from tests.fakes.cascade import FakeCascade
from wuerst_demo.engine.engine import Engine


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_latents_come_with_every_image_of_a_request_that_keeps_them(driver):
    request = make_request(images=3, prior_steps=4, decoder_steps=2, seed=20)
    found = results(run_with(driver, Engine(FakeCascade()), request, keep_latents=True)[0])
    assert len(found) == 3
    for result in found:
        assert [estimate.shape[0] for estimate in result.stages.prior] == [16] * 4
        assert [estimate.shape[0] for estimate in result.stages.decoder] == [4] * 2
        for estimate in (*result.stages.prior, *result.stages.decoder):
            assert estimate.dtype == np.float32
            assert (estimate == result.request.seed).all()
    assert {result.stages for result in results(run_with(driver, Engine(FakeCascade()), request)[0])} == {None}


def test_other_images_of_a_batch_are_not_estimated():
    class Counting(FakeCascade):
        estimated = 0

        def estimate_latents(self, states):
            self.estimated += len(states)
            return super().estimate_latents(states)

    cascade = Counting()
    engine = Engine(cascade)
    curious, other = engine.submit(make_request(), "ann", keep_latents=True), engine.submit(make_request(), "ben")
    finish(engine)
    assert {len(step) for step in cascade.steps} == {2}
    assert cascade.estimated == 2 + 1
    assert results(curious)[0].stages
    assert results(other)[0].stages is None


@pytest.mark.parametrize("driver", CORE_DRIVERS)
def test_after_lack_of_memory_no_estimate_is_missing(driver):
    class Full(FakeCascade):
        failed = 0

        def estimate_latents(self, states):
            if len(states) > 1:
                self.failed += 1
                raise MemoryError
            return super().estimate_latents(states)

    cascade = Full()
    found = results(run_with(driver, Engine(cascade), make_request(images=2, prior_steps=5), keep_latents=True)[0])
    assert cascade.failed
    assert [len(result.stages.prior) for result in found] == [5, 5]


def test_an_image_that_fails_in_a_step_has_no_estimate():
    cascade = FakeCascade(failing_steps=[(8, "prior", 1)])
    engine = Engine(cascade)
    tickets = [engine.submit(make_request(seed=seed), str(seed), keep_latents=True) for seed in (7, 8)]
    finish(engine)
    (result,) = results(tickets[0])
    assert [len(each) for each in (result.stages.prior, result.stages.decoder)] == [2, 1]
    tickets[1].close()
