"""Warm-up: the shapes that are compiled before the first request, and what happens to all others."""

from __future__ import annotations

import logging
import threading

import pytest
import torch

from tests.pipeline.helpers import (
    LIMITS_128,
    PIXEL_TOLERANCE,
    GraphCounter,
    compiled_cascade,
    decode_pixels,
    make_request,
    run_joining,
)
from wuerst_demo.pipeline.warmup import warm_up


@pytest.fixture(scope="module")
def warm(components):
    """A cascade that was warmed up for batches of 1, 2 and 4, its backend, and the summary for the user."""
    backend = GraphCounter()
    cascade, compiled = compiled_cascade(components, backend)
    return cascade, backend, warm_up(cascade, compiled, LIMITS_128, sizes=(1, 2, 4))


@pytest.mark.slow
def test_images_that_join_and_leave_a_batch_cause_no_recompilation(warm, cascade):
    compiled, backend, summary = warm
    assert summary.startswith("Compiled in ")
    assert "for pictures of 128 x 128, prompts of up to 77 tokens and batches of 1, 2 and 4;" in summary
    before = backend.graphs
    assert before > 0
    requests = [make_request(seed=seed, prior_guidance=4.0 * (seed == 2), prior_steps=seed) for seed in (1, 2, 3)]
    finished, batch_sizes = run_joining(compiled, requests)
    assert len(set(batch_sizes)) > 1, "states did not meet"
    assert backend.graphs == before
    for request in requests:
        expected = decode_pixels(cascade, cascade.begin(request))
        torch.testing.assert_close(decode_pixels(compiled, [finished[request.seed]]), expected, **PIXEL_TOLERANCE)


@pytest.mark.slow
def test_shapes_that_were_not_warmed_up_run_uncompiled(warm, cascade):
    compiled, backend, _ = warm
    before = backend.graphs
    for request in (make_request(width=256), make_request(prompt="cat, " * 40), make_request(images=5)):
        expected = decode_pixels(cascade, cascade.begin(request))
        torch.testing.assert_close(decode_pixels(compiled, compiled.begin(request)), expected, **PIXEL_TOLERANCE)
    assert backend.graphs == before


@pytest.mark.slow
def test_another_thread_uses_the_warmed_up_graphs(warm):
    compiled, backend, _ = warm
    before, results = backend.graphs, []
    thread = threading.Thread(target=lambda: results.append(decode_pixels(compiled, compiled.begin(make_request()))))
    thread.start()
    thread.join()
    assert len(results) == 1
    assert backend.graphs == before


def test_a_compiler_failure_is_logged_once_and_the_networks_run_uncompiled(components, cascade, caplog):
    def broken(graph, inputs):
        raise RuntimeError("Failed to find a compiler\nand more about it")

    failing, compiled = compiled_cascade(components, broken)
    with caplog.at_level(logging.WARNING):
        summary = warm_up(failing, compiled, LIMITS_128, sizes=(1, 2))
    assert summary.startswith("Compiling failed (")
    assert "Failed to find a compiler" in summary
    assert "\n" not in summary
    assert len([record for record in caplog.records if "run uncompiled" in record.message]) == len(compiled)
    pixels = decode_pixels(failing, failing.begin(make_request()))
    torch.testing.assert_close(pixels, decode_pixels(cascade, cascade.begin(make_request())), **PIXEL_TOLERANCE)


def test_batch_sizes_that_do_not_fit_into_memory_are_skipped(components):
    def fail_above_two(module, inputs):
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    cascade, compiled = compiled_cascade(components, GraphCounter())
    cascade._components.prior.projection.register_forward_pre_hook(fail_above_two)
    with torch.compiler.set_stance("force_eager"):
        assert "batches of 1 and 2;" in warm_up(cascade, compiled, LIMITS_128, sizes=(1, 2, 4, 8))
