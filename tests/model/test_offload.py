"""Offload, with a stand-in for the device: which weights are where at every step, and that pictures stay the same."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import MixingResidualBlock

from tests.model.machines import OwnMemory, watched
from wuerst_demo.engine.inline import Inline
from wuerst_demo.engine.local import STAY, Local
from wuerst_demo.errors import UserError
from wuerst_demo.events import Result
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.offload import NETWORKS, arrange
from wuerst_demo.model.placement import Placement
from wuerst_demo.model.sparing import spare
from wuerst_demo.request import Limits


def request(**values):
    plain = {"prompt": "a (red)1.5 cat", "width": 128, "height": 128, "seed": 3, "prior_steps": 3, "decoder_steps": 2}
    return Limits().request({**plain, "prior_guidance": 4.0, **values})


def copied(parts):
    """Parts of one's own, as they are when offload and compiling find them."""
    mine = dataclasses.replace(parts, **{name: copy.deepcopy(getattr(parts, name)) for name in NETWORKS})
    spare(mine)
    return mine


def networks(parts):
    return {name: getattr(parts, name) for name in NETWORKS}


def offloaded(parts, how, copies=None):
    mine = copied(parts)
    residence = arrange(mine, Placement("cpu", "float32", "sdpa", "", how), copies)
    return mine, Cascade(mine, Limits(), device="cpu"), residence


def there_and_back(cascade, first, second):
    """Two requests as an engine may draw them: the second comes when the first is in the decoder, and overtakes it."""
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
    return OwnMemory()


# ---------------------------------------------------------------------------------------------- model offload


def test_one_network_is_there_at_a_time_and_only_that_one_computes(parts, device):
    mine, cascade, residence = offloaded(parts, "model", device)
    turns = []

    def see(name, layer):
        assert all(device.holds(tensor) for tensor in layer.parameters(recurse=False)), "computes from main memory"
        assert len(device.rooms) == 1, "two networks are on the device"
        assert residence.resident == name
        if turns[-1:] != [name]:
            turns.append(name)

    with watched(networks(mine), see):
        there_and_back(cascade, request(), request(seed=4))
    texts = ["prior_text_encoder", "decoder_text_encoder"]
    assert turns == [*texts, "prior", "decoder", "prior", "decoder", "vqgan"]


def test_a_prompt_that_is_new_is_read_between_two_steps_of_others(parts, device):
    mine, cascade, _ = offloaded(parts, "model", device)
    turns = []
    with watched(networks(mine), lambda name, layer: turns.append(name) if turns[-1:] != [name] else None):
        there_and_back(cascade, request(), request(prompt="a blue house"))
    texts = ["prior_text_encoder", "decoder_text_encoder"]
    assert turns == [*texts, "prior", "decoder", *texts, "prior", "decoder", "vqgan"]


def test_pictures_are_the_same_as_without_to_the_last_bit(parts, device):
    _, mine, _ = offloaded(parts, "model", device)
    cascade = Cascade(copied(parts), Limits())
    wishes = request(decoder_guidance=2.0), request(seed=4, prompt="a blue house", prior_guidance=0.0)
    assert torch.equal(there_and_back(mine, *wishes), there_and_back(cascade, *wishes))


def test_the_device_holds_one_network_and_main_memory_all_of_them_once(parts, device):
    mine, cascade, residence = offloaded(parts, "model", device)
    sizes = {
        name: sum(tensor.nbytes for tensor in network.state_dict().values()) for name, network in networks(mine).items()
    }
    assert sum(sizes.values()) <= device.pinned <= 1.5 * sum(sizes.values())
    assert device.rooms == []
    cascade.begin(request())
    (size,) = device.rooms
    assert sizes["decoder_text_encoder"] <= size <= 1.5 * sizes["decoder_text_encoder"]
    residence.leave()
    assert device.rooms == []


def test_a_network_that_stays_is_copied_once(parts, device):
    _, cascade, _ = offloaded(parts, "model", device)
    (row,) = cascade.begin(request(prior_steps=9))
    rooms = len(device.log)
    while row.stage == "prior":
        (row,) = cascade.step([row])
    assert len(device.log) == rooms + 1


def test_a_block_waits_for_its_own_part_while_later_parts_are_on_their_way(parts):
    class Eager(OwnMemory):
        def send(self, source, target):
            wait = super().send(source, target)
            number = len(waits)
            waits.append(False)

            def waited():
                waits[number] = True
                wait()

            return waited

    waits = []
    mine, cascade, _ = offloaded(parts, "model", Eager())
    (row,) = cascade.begin(request())
    waits.clear()
    seen = []
    with watched({"prior": mine.prior}, lambda name, layer: seen.append(sum(waits))):
        cascade.step([row])
    assert seen == sorted(seen)
    assert seen[0] == 1, "the first layer waits for what lies outside of the blocks, and for no block"
    assert max(seen) == len(waits) == 1 + len(mine.prior.blocks)


@pytest.mark.parametrize("fail_at", [0, 1, 5])
def test_where_memory_runs_out_in_a_copy_nothing_is_left_there_and_the_step_can_be_tried_again(parts, cascade, fail_at):
    device = OwnMemory()
    _, mine, residence = offloaded(parts, "model", device)
    (row,) = mine.begin(request())
    device.sent, device.fail_at = 0, fail_at
    with pytest.raises(MemoryError):
        mine.step([row])
    assert residence.resident is None
    assert device.rooms == []
    device.fail_at = None
    (expected,) = cascade.begin(request())
    assert torch.equal(mine.step([row])[0].latents, cascade.step([expected])[0].latents)


# ---------------------------------------------------------------------------------------------- sequential offload


def test_one_layer_is_there_at_a_time(parts):
    mine, cascade, _ = offloaded(parts, "sequential")
    there = []

    def see(name, layer):
        # The hook that brings the layer runs inside; before it, nothing of any network is there.
        there.append({str(tensor.device) for network in networks(mine).values() for tensor in network.parameters()})

    with watched(networks(mine), see):
        (row,) = cascade.begin(request())
        (row,) = cascade.step([row])
    assert there
    assert all(devices == {"meta"} for devices in there)
    assert row.latents.device.type == "cpu"


def test_layer_by_layer_pictures_are_the_same_too(parts, cascade):
    _, mine, _ = offloaded(parts, "sequential")
    wishes = request(decoder_guidance=2.0), request(seed=4, prompt="a blue house", prior_guidance=0.0)
    torch.testing.assert_close(there_and_back(mine, *wishes), there_and_back(cascade, *wishes), rtol=0, atol=1e-5)


def test_the_vqgan_computes_its_widest_layers_in_slices(parts):
    mine, cascade, _ = offloaded(parts, "sequential")
    (row,) = cascade.begin(request())
    while row.stage != "vqgan":
        (row,) = cascade.step([row])
    heights = set()
    widest = [block for block in mine.vqgan.up_blocks if isinstance(block, MixingResidualBlock)][-1].channelwise[0]
    hook = widest.register_forward_pre_hook(lambda module, inputs: heights.add(inputs[0].shape[1]))
    (picture,) = cascade.finish([row])
    hook.remove()
    assert not isinstance(picture, UserError)
    assert heights == {64 // 8}, "of 64 rows there, eight slices"


def test_without_offload_nothing_is_touched(parts):
    before = {name: network.forward for name, network in networks(parts).items()}
    assert arrange(parts, Placement("cpu", "float32", "sdpa", "")) is None
    assert {name: network.forward for name, network in networks(parts).items()} == before


# ---------------------------------------------------------------------------------------------- with the engine


def test_an_engine_draws_for_two_at_once_with_one_network_there_and_changes_it_seldom(parts, device):
    mine, cascade, _ = offloaded(parts, "model", device)
    wishes = {"one": request(prior_steps=5), "two": request(seed=4, prompt="a blue house", decoder_steps=4)}
    plain = Cascade(copied(parts), Limits(), device="cpu")
    expected = {name: picture_of(Inline(plain).run(wish)) for name, wish in wishes.items()}
    turns = []

    def see(name, layer):
        assert all(device.holds(tensor) for tensor in layer.parameters(recurse=False))
        assert len(device.rooms) == 1
        if turns[-1:] != [name]:
            turns.append(name)

    with watched(networks(mine), see), Local(cascade, stay=STAY) as engine:
        tickets = {name: engine.submit(wish, name) for name, wish in wishes.items()}
        found = {name: picture_of(ticket) for name, ticket in tickets.items()}
    for name, picture in found.items():
        difference = np.abs(np.asarray(picture, dtype=int) - np.asarray(expected[name], dtype=int))
        assert difference.max() <= 1, "company changes the last bit, and so the rounding"
    steps = sum(wish.prior_steps + wish.decoder_steps for wish in wishes.values())
    assert len(turns) < steps, "a network is changed for every step"


def picture_of(events):
    return next(event.picture for event in events if isinstance(event, Result))
