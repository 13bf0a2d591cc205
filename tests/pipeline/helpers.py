"""Small requests on the 2023 checkpoint, steps to the VQGAN, and copies of components that a test may change."""

from __future__ import annotations

import copy
import dataclasses

from tests.fakes.devices import FakeTransfer
from wuerst_demo.devices.placement import Placement
from wuerst_demo.networks.compile import compile_networks
from wuerst_demo.networks.offload import NETWORK_NAMES, apply_offload
from wuerst_demo.networks.weight_folding import apply_optimizations
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.request import Limits

LIMITS_128 = Limits().narrow(width={"default": 128, "least": 128}, height={"default": 128, "least": 128})
PIXEL_TOLERANCE = {"rtol": 0, "atol": 1e-4}
"""For pixels in 0..1. Images in a larger batch differ by as much, because kernels add in another order."""

SMALL_REQUEST = {
    "prompt": "a red cat",
    "width": 128,
    "height": 128,
    "seed": 11,
    "prior_steps": 3,
    "decoder_steps": 2,
    "prior_guidance": 0.0,
}


def make_request(**values):
    return Limits().request({**SMALL_REQUEST, **values})


def run_steps(cascade, states):
    """States of equal keys, stepped together until they are at the VQGAN."""
    while states[0].stage != "vqgan":
        states = cascade.step(states)
    return states


def decode_pixels(cascade, states):
    """The pixels (n, 3, H, W) of states of equal keys, clamped to 0..1."""
    return cascade.decode(run_steps(cascade, states)).clamp(0, 1)


def run_joining(cascade, requests):
    """Requests that join one after another and step with all of equal key: states at the VQGAN by seed, batch sizes."""
    waiting = [state for request in requests for state in cascade.begin(request)]
    running, finished, batch_sizes = [], {}, []
    while waiting or running:
        running, waiting = running + waiting[:1], waiting[1:]
        batch = [state for state in running if state.key == running[-1].key]
        batch_sizes.append(len(batch))
        others = [state for state in running if state not in batch]
        stepped = cascade.step(batch)
        finished.update({state.request.seed: state for state in stepped if state.stage == "vqgan"})
        running = others + [state for state in stepped if state.stage != "vqgan"]
    return finished, batch_sizes


def optimized_copy(components):
    """A deep copy with optimizations applied, as offload and compiling find components."""
    copied = {name: copy.deepcopy(getattr(components, name)) for name in NETWORK_NAMES}
    changed = dataclasses.replace(components, **copied)
    apply_optimizations(changed)
    return changed


class GraphCounter:
    """A backend of torch.compile that counts graphs and runs them as they are, or as compiled by `compiler`."""

    def __init__(self, compiler=lambda graph, inputs: graph.forward):
        self.graphs = 0
        self.compiler = compiler

    def __call__(self, graph, inputs):
        self.graphs += 1
        return self.compiler(graph, inputs)


def compiled_cascade(components, backend, **placement):
    """A cascade with compiled copies of the components, and its compiled forward passes."""
    changed = optimized_copy(components)
    compiled = compile_networks(changed, backend)
    apply_offload(changed, Placement("cpu", "float32", "sdpa", "", compile=True, **placement), FakeTransfer())
    return Cascade(changed, LIMITS_128, device="cpu"), compiled
