"""Counted operations are those that the networks compute."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wuerst_demo.benchmarks.flops import count_operations
from wuerst_demo.benchmarks.random_checkpoint import PUBLISHED_CONFIGS, write_checkpoint
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.networks.loader import load_components
from wuerst_demo.networks.weight_folding import apply_optimizations
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Limits


@pytest.mark.parametrize(
    ("stock", "guidance"),
    [(True, {}), (False, {}), (False, {"decoder_guidance": 2.0, "guidance_from": 0.3, "guidance_to": 0.6})],
    ids=["stock", "ours", "interval"],
)
def test_counted_operations_are_those_of_an_image(tiny, tmp_path, stock, guidance):
    write_checkpoint(tmp_path, tiny, "zeros")
    checkpoint = resolve_checkpoint(str(tmp_path / "wuerstchen"))
    values = {"prior_steps": 2, "decoder_steps": 3, "prior_guidance": 4.0, "decoder_guidance": 0.0, **guidance}
    request = Limits().request({"prompt": "a", "seed": 0, "width": 128, "height": 256, **values})
    components = load_components(checkpoint, decide_placement(PlacementOptions("cpu")))
    if not stock:
        apply_optimizations(components)
    cascade = Cascade(components, checkpoint.info.limits)
    counted: dict[str, int] = {}
    states = cascade.begin(request)
    while states[0].stage != "vqgan":
        stage = states[0].stage
        # torch's counter does not know fused attention on a CPU.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            states = cascade.step(states)
        counted[stage] = counted.get(stage, 0) + counter.get_total_flops()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        cascade.decode(states)
    expected = count_operations(tiny, request, stock)
    assert counted | {"vqgan": counter.get_total_flops()} == {
        name: expected[name] for name in ("prior", "decoder", "vqgan")
    }


@pytest.mark.slow
def test_a_published_image_takes_at_most_96_tera_operations():
    values = {"width": 1024, "height": 1024, "prior_steps": 29, "prior_guidance": 4.0, "decoder_steps": 12}
    request = Limits().request({"prompt": "a", "seed": 0, "decoder_guidance": 0.0, **values})
    assert sum(count_operations(PUBLISHED_CONFIGS, request).values()) <= 96e12
