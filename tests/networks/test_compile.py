"""Compiled networks: which graphs are compiled, how often, and that images stay the same."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager
from torch._dynamo.exc import FailOnRecompileLimitHit

from tests.pipeline.helpers import PIXEL_TOLERANCE, GraphCounter, compiled_cascade, decode_pixels, make_request
from wuerst_demo.networks.compile import COMPILED_BATCH_SIZES, CompiledForward


def test_equal_blocks_share_one_compiled_graph_per_shape(components):
    backend = GraphCounter()
    cascade, _ = compiled_cascade(components, backend)
    kinds = {type(block) for block in components.prior.blocks}
    (state,) = cascade.begin(make_request())
    (state,) = cascade.step([state])
    # The first block gets its input in the memory layout of the projection, later ones of its kind in another.
    assert len(kinds) <= backend.graphs <= len(kinds) + 1 < len(components.prior.blocks)
    before = backend.graphs
    cascade.step([state])
    assert backend.graphs == before


def test_without_a_warm_up_new_shapes_are_compiled(components):
    backend = GraphCounter()
    cascade, _ = compiled_cascade(components, backend)
    cascade.step(cascade.begin(make_request()))
    before = backend.graphs
    cascade.step(cascade.begin(make_request(width=256)))
    assert backend.graphs > before


def test_a_batch_is_padded_to_the_next_compiled_size(components):
    cascade, _ = compiled_cascade(components, GraphCounter())
    sizes = []
    projection = cascade._components.prior.projection
    projection.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    (state,) = cascade.begin(make_request())
    with torch.compiler.set_stance("force_eager"):
        for count in (1, 2, 3, 5, 8, 9, 16, 17):
            assert len(cascade.step([state] * count)) == count
    assert sizes == [1, 2, 4, 8, 8, 16, 16, 17]
    assert COMPILED_BATCH_SIZES == (1, 2, 4, 8, 16)


def test_padding_changes_no_image(components, cascade):
    compiled, _ = compiled_cascade(components, GraphCounter())
    states = [state for seed in (1, 2, 3) for state in compiled.begin(make_request(seed=seed))]
    with torch.compiler.set_stance("force_eager"):
        stepped = compiled.step(states)
    for ours, theirs in zip(stepped, cascade.step(states), strict=True):
        torch.testing.assert_close(ours.latents, theirs.latents, **PIXEL_TOLERANCE)


class Doubling(torch.nn.Module):
    """Stands for a network: records the size of each batch, and rejects more than three samples if it is `failing`."""

    def __init__(self, failing):
        super().__init__()
        self.failing, self.calls = failing, []

    def forward(self, tensor):
        self.calls.append(len(tensor))
        if self.failing and len(tensor) > 3:
            raise FailOnRecompileLimitHit("too many graphs")
        return 2 * tensor


def test_a_network_whose_compilation_failed_is_not_compiled_again():
    network = Doubling(failing=True)
    forward = CompiledForward(network)
    assert len(forward(torch.ones(3, 2))) == 3  # padded to 4, which fails, then as it is
    assert "too many graphs" in forward.failure
    assert len(forward(torch.ones(3, 2))) == 3
    assert network.calls == [4, 3, 3]


def test_once_frozen_only_shapes_that_are_compiled_are_padded():
    network = Doubling(failing=False)
    forward = CompiledForward(network)
    forward(torch.ones(3, 2))
    forward.freeze()
    forward(torch.ones(3, 2))
    forward(torch.ones(3, 5))
    assert network.calls == [4, 4, 3]


@pytest.mark.slow
@pytest.mark.parametrize("placement", [{}, {"offload": "model"}], ids=["none", "model"])
def test_compiled_graphs_give_the_same_image_also_with_offload(components, cascade, placement):
    backend = GraphCounter(aot_eager)
    compiled, _ = compiled_cascade(components, backend, **placement)
    request = make_request(prior_guidance=4.0, negative_prompt="blue")
    pixels = decode_pixels(compiled, compiled.begin(request))
    torch.testing.assert_close(pixels, decode_pixels(cascade, cascade.begin(request)), **PIXEL_TOLERANCE)
    before = backend.graphs
    assert before > 0
    decode_pixels(compiled, compiled.begin(request))
    assert backend.graphs == before, "networks that were offloaded and come back are compiled again"
