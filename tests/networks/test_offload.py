"""Offload with a stand-in for the device: where weights are at every step, and that pixels stay the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import MixingResidualBlock

from tests.fakes.devices import FakeTransfer, watch_layers
from tests.pipeline.helpers import make_request, optimized_copy
from wuerst_demo.devices.placement import Placement
from wuerst_demo.engine.engine import MAX_EXTRA_STEPS_PER_NETWORK, Engine
from wuerst_demo.errors import UserError
from wuerst_demo.events import Result
from wuerst_demo.networks.offload import NETWORK_NAMES, apply_offload
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.request import Limits


def guided_request(**values):
    return make_request(**{"prompt": "a (red)1.5 cat", "seed": 3, "prior_guidance": 4.0, **values})


def networks(components):
    return {name: getattr(components, name) for name in NETWORK_NAMES}


def offload(components, how, transfer=None):
    mine = optimized_copy(components)
    manager = apply_offload(mine, Placement("cpu", "float32", "sdpa", "", how), transfer)
    return mine, Cascade(mine, Limits(), device="cpu"), manager


def interleave(cascade, first, second):
    """The pixels of two requests, of which the second starts when the first is in the decoder, and overtakes it."""
    (one,) = cascade.begin(first)
    while one.stage == "prior":
        (one,) = cascade.step([one])
    (one,) = cascade.step([one])
    (two,) = cascade.begin(second)
    while two.stage == "prior":
        (two,) = cascade.step([two])
    one, two = cascade.step([one])[0], cascade.step([two])[0]
    (two,) = cascade.step([two])
    assert one.stage == two.stage == "vqgan"
    return torch.cat([cascade.decode([one]), cascade.decode([two])])


@pytest.fixture
def device():
    return FakeTransfer()


# ---------------------------------------------------------------------------------------------- model offload


def test_one_network_is_resident_at_a_time_and_only_it_computes(components, device):
    mine, cascade, manager = offload(components, "model", device)
    order = []

    def see(name, layer):
        assert all(device.holds(tensor) for tensor in layer.parameters(recurse=False)), "computes from main memory"
        assert len(device.allocations) == 1, "two networks are on the device"
        assert manager.resident == name
        if order[-1:] != [name]:
            order.append(name)

    with watch_layers(networks(mine), see):
        interleave(cascade, guided_request(), guided_request(seed=4))
    texts = ["prior_text_encoder", "decoder_text_encoder"]
    assert order == [*texts, "prior", "decoder", "prior", "decoder", "vqgan"]


def test_a_new_prompt_is_encoded_between_two_steps_of_others(components, device):
    mine, cascade, _ = offload(components, "model", device)
    order = []
    with watch_layers(networks(mine), lambda name, layer: order.append(name) if order[-1:] != [name] else None):
        interleave(cascade, guided_request(), guided_request(prompt="a blue house"))
    texts = ["prior_text_encoder", "decoder_text_encoder"]
    assert order == [*texts, "prior", "decoder", *texts, "prior", "decoder", "vqgan"]


def test_model_offload_gives_the_same_pixels_bit_for_bit(components, device):
    _, mine, _ = offload(components, "model", device)
    cascade = Cascade(optimized_copy(components), Limits())
    requests = (
        guided_request(decoder_guidance=2.0),
        guided_request(seed=4, prompt="a blue house", prior_guidance=0.0),
    )
    assert torch.equal(interleave(mine, *requests), interleave(cascade, *requests))


def test_the_device_holds_one_network_and_main_memory_each_once(components, device):
    mine, cascade, manager = offload(components, "model", device)
    sizes = {
        name: sum(tensor.nbytes for tensor in network.state_dict().values()) for name, network in networks(mine).items()
    }
    assert sum(sizes.values()) <= device.pinned_bytes <= 1.5 * sum(sizes.values())
    assert device.allocations == []
    cascade.begin(guided_request())
    (size,) = device.allocations
    assert sizes["decoder_text_encoder"] <= size <= 1.5 * sizes["decoder_text_encoder"]
    manager.offload()
    assert device.allocations == []


def test_weights_on_the_device_can_be_trained(components, device):
    """Pictures are generated in inference mode, whose own tensors no gradient can be computed with."""
    mine, cascade, manager = offload(components, "model", device)
    cascade.begin(guided_request())
    resident = networks(mine)[manager.resident]
    assert all(device.holds(weight) and not weight.data.is_inference() for weight in resident.parameters())


def test_a_network_that_stays_resident_is_copied_once(components, device):
    _, cascade, _ = offload(components, "model", device)
    (state,) = cascade.begin(guided_request(prior_steps=9))
    before = device.allocation_count
    while state.stage == "prior":
        (state,) = cascade.step([state])
    assert device.allocation_count == before + 1


def test_a_block_waits_for_its_own_weights_only(components):
    class Eager(FakeTransfer):
        def copy(self, source, target):
            wait = super().copy(source, target)
            number = len(waits)
            waits.append(False)

            def waited():
                waits[number] = True
                wait()

            return waited

    waits = []
    mine, cascade, _ = offload(components, "model", Eager())
    (state,) = cascade.begin(guided_request())
    waits.clear()
    seen = []
    with watch_layers({"prior": mine.prior}, lambda name, layer: seen.append(sum(waits))):
        cascade.step([state])
    assert seen == sorted(seen)
    assert seen[0] == 1, "the first layer waits for weights outside of blocks only"
    assert max(seen) == len(waits) == 1 + len(mine.prior.blocks)


@pytest.mark.parametrize("fail_at", [0, 1, 5])
def test_a_step_can_be_repeated_after_memory_ran_out_in_a_copy(components, fail_at):
    cascade = Cascade(optimized_copy(components), Limits())
    device = FakeTransfer()
    _, mine, manager = offload(components, "model", device)
    (state,) = mine.begin(guided_request())
    device.copies, device.fail_at = 0, fail_at
    with pytest.raises(MemoryError):
        mine.step([state])
    assert manager.resident is None
    assert device.allocations == []
    device.fail_at = None
    (expected,) = cascade.begin(guided_request())
    assert torch.equal(mine.step([state])[0].latents, cascade.step([expected])[0].latents)


# ---------------------------------------------------------------------------------------------- sequential offload


def test_sequential_offload_keeps_one_layer_on_the_device(components):
    mine, cascade, _ = offload(components, "sequential")
    there = []

    def see(name, layer):
        # The hook that onloads the layer runs later; until then every weight is on meta.
        there.append({str(tensor.device) for network in networks(mine).values() for tensor in network.parameters()})

    with watch_layers(networks(mine), see):
        (state,) = cascade.begin(guided_request())
        (state,) = cascade.step([state])
    assert there
    assert all(devices == {"meta"} for devices in there)
    assert state.latents.device.type == "cpu"


def test_sequential_offload_gives_the_same_pixels(components, cascade):
    _, mine, _ = offload(components, "sequential")
    requests = (
        guided_request(decoder_guidance=2.0),
        guided_request(seed=4, prompt="a blue house", prior_guidance=0.0),
    )
    torch.testing.assert_close(interleave(mine, *requests), interleave(cascade, *requests), rtol=0, atol=1e-5)


def test_sequential_offload_slices_the_widest_layers_of_the_vqgan(components):
    mine, cascade, _ = offload(components, "sequential")
    (state,) = cascade.begin(guided_request())
    while state.stage != "vqgan":
        (state,) = cascade.step([state])
    heights = set()
    widest = [block for block in mine.vqgan.up_blocks if isinstance(block, MixingResidualBlock)][-1].channelwise[0]
    hook = widest.register_forward_pre_hook(lambda module, inputs: heights.add(inputs[0].shape[1]))
    (picture,) = cascade.finish([state])
    hook.remove()
    assert not isinstance(picture, UserError)
    assert heights == {64 // 8}, "64 rows in eight slices"


def test_without_offload_networks_are_unchanged(components):
    before = {name: network.forward for name, network in networks(components).items()}
    assert apply_offload(components, Placement("cpu", "float32", "sdpa", "")) is None
    assert {name: network.forward for name, network in networks(components).items()} == before


# ---------------------------------------------------------------------------------------------- with the engine


def test_an_engine_seldom_swaps_networks_for_two_concurrent_requests(components, device):
    mine, cascade, _ = offload(components, "model", device)
    requests = {
        "one": guided_request(prior_steps=5),
        "two": guided_request(seed=4, prompt="a blue house", decoder_steps=4),
    }
    plain = Cascade(optimized_copy(components), Limits(), device="cpu")
    expected = {name: image_of(Engine(plain).run(request)) for name, request in requests.items()}
    order = []

    def see(name, layer):
        assert all(device.holds(tensor) for tensor in layer.parameters(recurse=False))
        assert len(device.allocations) == 1
        if order[-1:] != [name]:
            order.append(name)

    with watch_layers(networks(mine), see), Engine(cascade, max_extra_steps=MAX_EXTRA_STEPS_PER_NETWORK) as engine:
        tickets = {name: engine.submit(request, name) for name, request in requests.items()}
        found = {name: image_of(ticket) for name, ticket in tickets.items()}
    for name, picture in found.items():
        difference = np.abs(np.asarray(picture, dtype=int) - np.asarray(expected[name], dtype=int))
        assert difference.max() <= 1, "a batch changes the last bit, and so the rounding"
    steps = sum(request.prior_steps + request.decoder_steps for request in requests.values())
    assert len(order) < steps, "networks are swapped at every step"


def image_of(events):
    return next(event.image for event in events if isinstance(event, Result))
