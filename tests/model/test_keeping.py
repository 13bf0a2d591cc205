"""Networks that keep texts predict what they predicted before, whoever asks, and map a text once."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import AttnBlock

from tests.model.test_cascade import drawn, request
from tests.model.test_folding import LIKE_PUBLISHED, filled, predicted
from wuerst_demo.api import load
from wuerst_demo.model.attention import kernel
from wuerst_demo.model.cascade import LONG, Cascade
from wuerst_demo.model.keeping import Keeping, keeping
from wuerst_demo.model.placement import decide
from wuerst_demo.model.sparing import spare
from wuerst_demo.request import Limits


@pytest.fixture(scope="module")
def spared(parts):
    """The parts as the program uses them."""
    changed = dataclasses.replace(parts, prior=copy.deepcopy(parts.prior), decoder=copy.deepcopy(parts.decoder))
    spare(changed)
    return changed


@pytest.fixture(scope="module")
def sparing(spared):
    return Cascade(spared, Limits())


def maps(network):
    """Counts how often texts are mapped in the attention blocks: forward passes of their `kv_mapper`s."""
    counted = []
    for module in network.modules():
        if isinstance(module, AttnBlock):
            module.kv_mapper.register_forward_hook(lambda *_: counted.append(1))
    return counted


def test_both_networks_predict_the_same_from_kept_texts_and_from_texts_as_they_are(parts):
    prior, decoder = copy.deepcopy(parts.prior), copy.deepcopy(parts.decoder)
    generator = torch.Generator().manual_seed(2)
    text = torch.randn(3, 154, prior.config["c_cond"], generator=generator)
    clip = torch.randn(3, 77, decoder.config["clip_embd"], generator=generator)
    small, large = torch.randn(3, 16, 6, 9, generator=generator), torch.randn(3, 4, 64, 96, generator=generator)
    times = torch.tensor([0.1, 0.5, 0.9])
    with torch.inference_mode():
        expected = prior(small, r=times, c=text), decoder(large, r=times, effnet=small, clip=clip)
        for network in (prior, decoder):
            assert not isinstance(network, Keeping)
            keeping(network)
            assert isinstance(network, Keeping)
        for keep in (False, True):
            c, e = (prior.keep(text), decoder.keep(clip)) if keep else (text, clip)
            found = prior(small, r=times, c=c), decoder(large, r=times, effnet=small, clip=e)
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


def test_levels_of_different_width_keep_their_own():
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt

    decoder = filled(WuerstchenDiffNeXt(**LIKE_PUBLISHED))
    expected = predicted(decoder)
    keeping(decoder)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 4, 64, 96, generator=generator)
    effnet = 42 * torch.randn(2, 16, 6, 9, generator=generator)
    clip = torch.randn(2, 77, 24, generator=generator)
    with torch.inference_mode():
        found = decoder(x, r=torch.tensor([0.3, 0.9]), effnet=effnet, clip=decoder.keep(clip))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_pictures_are_the_same_to_a_hundred_thousandth(sparing, cascade):
    wish = request(images=2, prior_guidance=4.0, decoder_guidance=2.0, negative_prompt="blue", width=256)
    ours, theirs = (each.decode(drawn(each, each.begin(wish))) for each in (sparing, cascade))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_rows_that_join_later_find_those_whose_texts_are_kept_and_both_draw_as_alone(sparing):
    early = request(prompt="a cat", seed=1, prior_guidance=4.0, prior_steps=4, decoder_steps=4)
    late = request(prompt="a blue house", seed=2, prior_steps=3, decoder_steps=3, decoder_guidance=2.0)
    (one,), (two,) = sparing.begin(early), sparing.begin(late)
    (one,) = sparing.step([one])
    assert (one.legs["prior"].text.dim(), two.legs["prior"].text.dim()) == (4, 3)
    rows = [one, two]
    while any(row.stage != "vqgan" for row in rows):
        front = next(row for row in rows if row.stage != "vqgan")
        batch = [row for row in rows if row.key == front.key]
        moved = iter(sparing.step(batch))
        rows = [next(moved) if row.key == front.key else row for row in rows]
    for row, wish in zip(rows, (early, late), strict=True):
        alone = drawn(sparing, sparing.begin(wish))
        torch.testing.assert_close(sparing.decode([row]), sparing.decode(alone), rtol=0, atol=1e-4)


def test_a_text_is_mapped_once_for_all_steps_and_pictures_of_a_request(parts):
    changed = dataclasses.replace(parts, prior=copy.deepcopy(parts.prior), decoder=copy.deepcopy(parts.decoder))
    spare(changed)
    counted = {name: maps(getattr(changed, name)) for name in ("prior", "decoder")}
    blocks = {
        name: sum(isinstance(module, AttnBlock) for module in getattr(changed, name).modules()) for name in counted
    }
    cascade = Cascade(changed, Limits())
    drawn(cascade, cascade.begin(request(images=3, prior_steps=5, decoder_steps=4, prior_guidance=4.0)))
    assert {name: len(calls) for name, calls in counted.items()} == blocks


def test_a_very_long_text_is_not_kept_and_drawn_as_if_it_were(sparing, cascade):
    wish = request(prompt="a red cat, " * 90, prior_guidance=4.0)
    (row,) = sparing.begin(wish)
    assert row.legs["prior"].text.shape[1] > LONG
    (moved,) = sparing.step([row])
    assert moved.legs["prior"].text.dim() == 3
    alone, expected = drawn(sparing, [row]), drawn(cascade, cascade.begin(wish))
    torch.testing.assert_close(sparing.decode(alone), cascade.decode(expected), rtol=0, atol=1e-4)


def test_what_is_kept_for_one_text_holds_no_memory_of_another(sparing):
    rows = [sparing.begin(request(prompt=prompt))[0] for prompt in ("a cat", "a house")]
    for row in sparing.step(rows):
        kept = row.legs["prior"].text
        assert kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()


def test_a_step_leaves_its_rows_as_they_were_and_can_be_taken_again(sparing):
    (row,) = sparing.begin(request(prior_guidance=4.0))
    first, second = sparing.step([row]), sparing.step([row])
    assert row.legs["prior"].text.dim() == 3
    assert torch.equal(first[0].latents, second[0].latents)


def test_a_row_lets_go_of_what_it_needs_no_more(sparing):
    (row,) = drawn(sparing, sparing.begin(request()))
    assert dict(row.legs) == {}


def test_what_load_gives_keeps_texts(checkpoint_2023):
    ours = load(str(checkpoint_2023 / "wuerstchen"), device="cpu")
    (row,) = ours.cascade.step(ours.cascade.begin(ours.request(prompt="a cat", seed=1, prior_steps=2)))
    assert row.legs["prior"].text.dim() == 4


def test_hooks_on_blocks_and_networks_see_a_text_being_kept(spared):
    prior = copy.deepcopy(spared.prior)
    seen = []

    class Hook:
        def pre_forward(self, module, *args):
            seen.append(module)
            return args, {}

    prior._hf_hook = Hook()
    for block in prior.blocks:
        block.register_forward_pre_hook(lambda module, inputs: seen.append(module))
    with torch.inference_mode():
        prior.keep(torch.zeros(1, 77, prior.config["c_cond"]))
    assert seen == [prior, *(block for block in prior.blocks if isinstance(block, AttnBlock))]


def test_kept_texts_are_attended_to_by_the_kernels_that_were_chosen(spared):
    from diffusers.models.attention_processor import AttnProcessor2_0, XFormersAttnProcessor

    attention = copy.deepcopy(next(block for block in spared.prior.blocks if isinstance(block, AttnBlock))).attention
    chosen = []
    for processor in (AttnProcessor2_0(), XFormersAttnProcessor()):
        attention.set_processor(processor)
        chosen.append(kernel(attention).__name__)
    assert chosen == ["_sdpa", "_xformers"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_texts_in_its_own_type(located, dtype):
    from wuerst_demo.model.checkpoint import load_parts

    parts = load_parts(located, decide("cpu", dtype))
    spare(parts)
    cascade = Cascade(parts, Limits())
    (row,) = cascade.step(cascade.begin(request()))
    assert row.legs["prior"].text.dtype == row.latents.dtype == getattr(torch, dtype)
