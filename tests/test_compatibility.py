"""Every pair of options: rejected with its message, or accepted and, where the table says so, computed."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tests.fakes.devices import FakeHardware, FakeTransfer
from tests.pipeline.helpers import GraphCounter
from tools import option_coverage
from wuerst_demo import compatibility
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import Placement, decide_placement
from wuerst_demo.errors import PlacementError
from wuerst_demo.networks.compile import compile_networks
from wuerst_demo.networks.loader import load_components
from wuerst_demo.networks.offload import apply_offload
from wuerst_demo.networks.openvino_backend import use_openvino
from wuerst_demo.networks.weight_folding import apply_optimizations
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Limits

EVERYTHING = FakeHardware(gpus=1, apple=True)
ACCEPTED = [pair for pair in option_coverage.option_pairs() if option_coverage.coverage_of(*pair) != "conflict"]
COMPUTED = [pair for pair in ACCEPTED if option_coverage.coverage_of(*pair) != "configured"]
ROUNDING = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.1}
"""How far a pixel, in 0..1, may be from what the same type draws without the other option."""
SHORTER = {"float32": 1e-4, "float16": 0.05, "bfloat16": 0.2}
"""How far pixels may be, on average, from what float32 draws; in networks of random weights, rounding grows fast, and
another seed is 0.23 away. (That short types stay closer to float32 than the stock pipelines, test_cascade sees.)"""


def named(pair):
    return " and ".join(" ".join(choice) for choice in pair)


def placement_arguments(pair):
    """The pair as arguments of `decide_placement`, on a GPU where it does not say otherwise and allows it."""
    device = "cuda"
    if ("backend", "openvino") in pair:
        device = "cpu" if pair in ACCEPTED else "auto"
    values = {"device": device, **dict(pair)}
    lora = values.pop("lora", "") == "on"
    values = {name: True if value == "on" else value for name, value in values.items()}
    return {"options": PlacementOptions(**values), "lora": lora}


@pytest.fixture(scope="module")
def lora(components, tmp_path_factory):
    """A LoRA that changes what the prior draws."""
    generator = torch.Generator().manual_seed(1)
    width = components.prior.config["c"]
    tensors = {
        f"prior.blocks.2.attention.to_q.lora.{side}.weight": torch.randn(shape, generator=generator)
        for side, shape in (("down", (4, width)), ("up", (width, 4)))
    }
    path = tmp_path_factory.mktemp("lora") / "style.safetensors"
    save_file(tensors, path)
    return str(path)


@pytest.fixture(scope="module")
def generated(checkpoint_2023, lora):
    """(type, offload, compiled, with the LoRA) -> the image (1, 3, 128, 128), generated once for all pairs."""
    images = {}

    def generate(dtype, offload, compiled, with_lora, backend="torch"):
        key = (dtype, offload, compiled, with_lora, backend)
        if key not in images:
            resolved = resolve_checkpoint(str(checkpoint_2023 / "wuerstchen"), loras=[lora] if with_lora else [])
            placement = Placement("cpu", dtype, "sdpa", "", offload, compiled, backend)
            components = load_components(resolved, placement)
            apply_optimizations(components)
            if backend == "openvino":
                use_openvino(components, dtype)
            count = GraphCounter()
            if compiled:
                compile_networks(components, count)
            apply_offload(components, placement, FakeTransfer())
            cascade = Cascade(components, Limits(), device="cpu")
            (state,) = cascade.begin(
                Limits().request(
                    {
                        "prompt": "a (red)1.5 cat",
                        "width": 128,
                        "height": 128,
                        "seed": 5,
                        "prior_steps": 2,
                        "prior_guidance": 0.0,
                        "decoder_steps": 1,
                    }
                )
            )
            while state.stage != "vqgan":
                (state,) = cascade.step([state])
            assert (count.graphs > 0) == compiled
            images[key] = cascade.decode([state]).float().clamp(0, 1)
        return images[key]

    return generate


def test_every_pair_of_values_is_listed_once():
    every = [frozenset(pair) for pair in option_coverage.option_pairs()]
    assert len(set(every)) == len(every)
    assert set(compatibility.CONFLICTS) <= set(every)
    sizes = [len(values) for values in compatibility.OPTION_VALUES.values()]
    assert len(every) == (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2


@pytest.mark.parametrize("pair", [pair for pair in option_coverage.option_pairs() if pair not in ACCEPTED], ids=named)
def test_conflict_is_rejected_with_its_message_and_a_remedy(pair):
    with pytest.raises(PlacementError) as raised:
        decide_placement(**placement_arguments(pair), hardware=EVERYTHING)
    assert str(raised.value) == compatibility.CONFLICTS[frozenset(pair)]
    assert "leave" in str(raised.value)


@pytest.mark.parametrize("pair", ACCEPTED, ids=named)
def test_other_pairs_are_accepted_and_recorded(pair):
    placement = decide_placement(**placement_arguments(pair), hardware=EVERYTHING)
    recorded = {
        "device": placement.device.partition(":")[0],
        "dtype": placement.dtype,
        "attention": placement.attention,
        "offload": placement.offload,
        "compile": "on" if placement.compile else "off",
        "backend": placement.backend,
        "lora": "on",  # belongs to the checkpoint, not to where it runs
    }
    assert all(recorded[option] == value for option, value in pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", COMPUTED, ids=named)
def test_computed_pairs_equal_the_images_without(pair, generated):
    chosen = dict(pair)
    dtype, lora = chosen.get("dtype", "float32"), "lora" in chosen
    backend = chosen.get("backend", "torch")
    image = generated(dtype, chosen.get("offload", "none"), "compile" in chosen, lora, backend)
    torch.testing.assert_close(image, generated(dtype, "none", False, lora), rtol=0, atol=ROUNDING[dtype])
    difference = (image - generated("float32", "none", False, lora)).abs().mean()
    assert difference <= SHORTER[dtype]
    if lora:
        assert (image - generated(dtype, "none", False, False)).abs().max() > 0.1, "the LoRA has no effect"
