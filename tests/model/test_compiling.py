"""Compiled networks: what is compiled, when, how often, and that pictures stay what they were."""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager

from tests.model.machines import OwnMemory
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.compiling import SIZES, compile_networks, warm_up
from wuerst_demo.model.offload import NETWORKS, arrange
from wuerst_demo.model.placement import Placement
from wuerst_demo.model.sparing import spare
from wuerst_demo.request import Limits

LIMITS = Limits().narrow(width={"default": 128, "least": 128}, height={"default": 128, "least": 128})
TOLERANCE = {"rtol": 0, "atol": 1e-4}
"""Of pixels in 0..1. Rows in a larger batch differ by as much: the kernels add in another order."""


class Counting:
    """A backend that counts the graphs it is given. Each is run as it is, or by `compiler`."""

    def __init__(self, compiler=lambda graph, inputs: graph.forward):
        self.graphs = 0
        self.compiler = compiler

    def __call__(self, graph, inputs):
        self.graphs += 1
        return self.compiler(graph, inputs)


def copied(parts):
    """Parts of one's own, as they are when offload and compiling find them."""
    mine = dataclasses.replace(parts, **{name: copy.deepcopy(getattr(parts, name)) for name in NETWORKS})
    spare(mine)
    return mine


def compiled(parts, backend, **placed):
    mine = copied(parts)
    found = compile_networks(mine, backend)
    arrange(mine, Placement("cpu", "float32", "sdpa", "", compile=True, **placed), OwnMemory())
    return Cascade(mine, LIMITS, device="cpu"), found


def request(**values):
    plain = {"prompt": "a red cat", "width": 128, "height": 128, "seed": 7, "prior_steps": 2, "decoder_steps": 2}
    return LIMITS.request({**plain, "prior_guidance": 0.0, **values})


def pixels(cascade, rows):
    while rows[0].stage != "vqgan":
        rows = cascade.step(rows)
    return cascade.decode(rows)


def test_each_kind_of_block_is_compiled_once_for_a_size_however_many_there_are(parts):
    prior = Counting()
    cascade, _ = compiled(parts, prior)
    kinds = {type(block) for block in parts.prior.blocks}
    (row,) = cascade.begin(request(prior_steps=3))
    (row,) = cascade.step([row])
    # The first block gets its values laid out as the projection leaves them, the later ones of its kind otherwise.
    assert len(kinds) <= prior.graphs <= len(kinds) + 1 < len(parts.prior.blocks)
    once = prior.graphs
    (row,) = cascade.step([row])
    assert prior.graphs == once


@pytest.fixture(scope="module")
def warm(parts):
    """A cascade that was warmed up for batches of 1, 2 and 4, its count of graphs, and what was said about it."""
    count = Counting()
    mine, found = compiled(parts, count)
    return mine, count, warm_up(mine, found, LIMITS, sizes=(1, 2, 4))


@pytest.mark.slow
def test_rows_that_join_and_leave_compile_nothing_anew_and_draw_what_they_draw_uncompiled(warm, cascade):
    mine, count, said = warm
    assert said.startswith("Compiled in ")
    assert "for pictures of 128 x 128, prompts of up to 77 tokens and batches of 1, 2 and 4;" in said
    before = count.graphs
    assert before > 0
    wishes = [request(seed=seed, prior_guidance=4.0 * (seed == 2), prior_steps=seed) for seed in (1, 2, 3)]
    waiting = [row for wish in wishes for row in mine.begin(wish)]
    flying, landed, batches = [], {}, set()
    while waiting or flying:
        flying, waiting = flying + waiting[:1], waiting[1:]
        batch = [row for row in flying if row.key == flying[-1].key]
        batches.add(len(batch))
        moved = mine.step(batch)
        landed.update({row.request.seed: row for row in moved if row.stage == "vqgan"})
        flying = [row for row in flying if row not in batch] + [row for row in moved if row.stage != "vqgan"]
    assert len(batches) > 1, "rows did not meet"
    assert count.graphs == before
    for wish in wishes:
        expected = pixels(cascade, cascade.begin(wish))
        torch.testing.assert_close(mine.decode([landed[wish.seed]]), expected, **TOLERANCE)


@pytest.mark.slow
def test_after_the_warm_up_another_size_a_longer_prompt_or_more_rows_run_uncompiled(warm, cascade):
    mine, count, _ = warm
    before = count.graphs
    for wish in (request(width=256), request(prompt="cat, " * 40), request(images=5)):
        expected = pixels(cascade, cascade.begin(wish))
        torch.testing.assert_close(pixels(mine, mine.begin(wish)), expected, **TOLERANCE)
    assert count.graphs == before


@pytest.mark.slow
def test_what_one_thread_has_warmed_up_another_draws_with(warm):
    mine, count, _ = warm
    before, drawn = count.graphs, []
    thread = threading.Thread(target=lambda: drawn.append(pixels(mine, mine.begin(request()))))
    thread.start()
    thread.join()
    assert len(drawn) == 1
    assert count.graphs == before


def test_without_a_warm_up_shapes_are_compiled_as_they_come(parts):
    count = Counting()
    mine, _ = compiled(parts, count)
    mine.step(mine.begin(request()))
    first = count.graphs
    mine.step(mine.begin(request(width=256)))
    assert count.graphs > first


def test_a_batch_is_padded_to_the_next_size_and_no_further(parts):
    mine, _ = compiled(parts, Counting())
    sizes = []
    mine._parts.prior.projection.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    (row,) = mine.begin(request())
    with torch.compiler.set_stance("force_eager"):
        for count in (1, 2, 3, 5, 8, 9, 16, 17):
            assert len(mine.step([row] * count)) == count
    assert sizes == [1, 2, 4, 8, 8, 16, 16, 17]
    assert SIZES == (1, 2, 4, 8, 16)


def test_what_a_padded_batch_holds_besides_changes_no_row(parts, cascade):
    mine, _ = compiled(parts, Counting())
    rows = [row for seed in (1, 2, 3) for row in mine.begin(request(seed=seed))]
    with torch.compiler.set_stance("force_eager"):
        moved = mine.step(rows)
    for ours, theirs in zip(moved, cascade.step(rows), strict=True):
        torch.testing.assert_close(ours.latents, theirs.latents, **TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("placed", [{}, {"offload": "model"}], ids=["none", "model"])
def test_compiled_graphs_draw_the_same_picture_also_under_offload(parts, cascade, placed):
    count = Counting(aot_eager)
    mine, _ = compiled(parts, count, **placed)
    wish = request(prior_guidance=4.0, negative_prompt="blue")
    torch.testing.assert_close(pixels(mine, mine.begin(wish)), pixels(cascade, cascade.begin(wish)), **TOLERANCE)
    graphs = count.graphs
    assert graphs > 0
    pixels(mine, mine.begin(wish))
    assert count.graphs == graphs, "networks that have been away and come back are compiled anew"


def test_what_cannot_be_compiled_is_said_once_and_runs_uncompiled(parts, cascade, caplog):
    def broken(graph, inputs):
        raise RuntimeError("Failed to find a compiler\nand more about it")

    mine, found = compiled(parts, broken)
    with caplog.at_level(logging.WARNING):
        said = warm_up(mine, found, LIMITS, sizes=(1, 2))
    assert said.startswith("Compiling failed (")
    assert "Failed to find a compiler" in said
    assert "\n" not in said
    assert len([record for record in caplog.records if "run uncompiled" in record.message]) == len(found)
    wish = request()
    torch.testing.assert_close(pixels(mine, mine.begin(wish)), pixels(cascade, cascade.begin(wish)), **TOLERANCE)


def test_sizes_that_memory_does_not_admit_are_left_out(parts):
    def full(samples):
        if len(samples) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    mine, found = compiled(parts, Counting())
    mine._parts.prior.projection.register_forward_pre_hook(lambda module, inputs: full(inputs[0]))
    with torch.compiler.set_stance("force_eager"):  # what is compiled is nothing to this
        assert "batches of 1 and 2;" in warm_up(mine, found, LIMITS, sizes=(1, 2, 4, 8))
