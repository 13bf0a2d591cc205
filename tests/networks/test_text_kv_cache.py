"""The text KV cache: equal predictions, one projection per text, and no shared memory."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import AttnBlock

from tests.networks.random_decoder import PUBLISHED_LEVELS, predict, randomize
from tests.pipeline.helpers import make_request, optimized_copy, run_steps
from wuerst_demo.api import load
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.networks.attention import attention_function
from wuerst_demo.networks.text_kv_cache import TextKVCache, enable_text_kv_cache
from wuerst_demo.networks.weight_folding import apply_optimizations
from wuerst_demo.pipeline.cascade import MAX_CACHED_TEXT_TOKENS, Cascade
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import Limits


@pytest.fixture(scope="module")
def optimized(components):
    """The components as the program uses them."""
    return optimized_copy(components)


@pytest.fixture(scope="module")
def cached(optimized):
    """A cascade whose networks have a text KV cache."""
    return Cascade(optimized, Limits())


def count_projections(network):
    """A list that grows with every projection of a text in an attention block (forward passes of `kv_mapper`)."""
    counted = []
    for module in network.modules():
        if isinstance(module, AttnBlock):
            module.kv_mapper.register_forward_hook(lambda *_: counted.append(1))
    return counted


def test_cached_and_plain_texts_give_the_same_prediction(components):
    prior, decoder = copy.deepcopy(components.prior), copy.deepcopy(components.decoder)
    generator = torch.Generator().manual_seed(2)
    text = torch.randn(3, 154, prior.config["c_cond"], generator=generator)
    clip = torch.randn(3, 77, decoder.config["clip_embd"], generator=generator)
    small, large = torch.randn(3, 16, 6, 9, generator=generator), torch.randn(3, 4, 64, 96, generator=generator)
    times = torch.tensor([0.1, 0.5, 0.9])
    with torch.inference_mode():
        expected = prior(small, r=times, c=text), decoder(large, r=times, effnet=small, clip=clip)
        for network in (prior, decoder):
            assert not isinstance(network, TextKVCache)
            enable_text_kv_cache(network)
            assert isinstance(network, TextKVCache)
        for use_cache in (False, True):
            c, e = (prior.compute_text_kv(text), decoder.compute_text_kv(clip)) if use_cache else (text, clip)
            found = prior(small, r=times, c=c), decoder(large, r=times, effnet=small, clip=e)
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


def test_levels_of_different_width_have_their_own_keys_and_values():
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt

    decoder = randomize(WuerstchenDiffNeXt(**PUBLISHED_LEVELS))
    expected = predict(decoder)
    enable_text_kv_cache(decoder)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 4, 64, 96, generator=generator)
    effnet = 42 * torch.randn(2, 16, 6, 9, generator=generator)
    clip = torch.randn(2, 77, 24, generator=generator)
    with torch.inference_mode():
        found = decoder(x, r=torch.tensor([0.3, 0.9]), effnet=effnet, clip=decoder.compute_text_kv(clip))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_optimized_networks_give_the_same_pixels(cached, cascade):
    request = make_request(images=2, prior_guidance=4.0, decoder_guidance=2.0, negative_prompt="blue", width=256)
    ours, theirs = (each.decode(run_steps(each, each.begin(request))) for each in (cached, cascade))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)  # of 0 to 1: an eightieth of a grey level


def test_images_with_cached_and_new_texts_share_a_batch(cached):
    early = make_request(prompt="a cat", seed=1, prior_guidance=4.0, prior_steps=4, decoder_steps=4)
    late = make_request(prompt="a blue house", seed=2, prior_steps=3, decoder_steps=3, decoder_guidance=2.0)
    (one,), (two,) = cached.begin(early), cached.begin(late)
    (one,) = cached.step([one])
    assert (one.conditioning["prior"].text.dim(), two.conditioning["prior"].text.dim()) == (4, 3)
    states = [one, two]
    while any(state.stage != "vqgan" for state in states):
        front = next(state for state in states if state.stage != "vqgan")
        batch = [state for state in states if state.key == front.key]
        moved = iter(cached.step(batch))
        states = [next(moved) if state.key == front.key else state for state in states]
    for state, request in zip(states, (early, late), strict=True):
        alone = run_steps(cached, cached.begin(request))
        torch.testing.assert_close(cached.decode([state]), cached.decode(alone), rtol=0, atol=1e-4)


def test_a_text_is_projected_once_per_request(components):
    changed = optimized_copy(components)
    counted = {name: count_projections(getattr(changed, name)) for name in ("prior", "decoder")}
    blocks = {
        name: sum(isinstance(module, AttnBlock) for module in getattr(changed, name).modules()) for name in counted
    }
    cascade = Cascade(changed, Limits())
    run_steps(cascade, cascade.begin(make_request(images=3, prior_steps=5, decoder_steps=4, prior_guidance=4.0)))
    assert {name: len(calls) for name, calls in counted.items()} == blocks


def test_a_very_long_text_is_not_cached_and_gives_the_same_image(cached, cascade):
    request = make_request(prompt="a red cat, " * 90, prior_guidance=4.0)
    (state,) = cached.begin(request)
    assert state.conditioning["prior"].text.shape[1] > MAX_CACHED_TEXT_TOKENS
    (moved,) = cached.step([state])
    assert moved.conditioning["prior"].text.dim() == 3
    alone, expected = run_steps(cached, [state]), run_steps(cascade, cascade.begin(request))
    torch.testing.assert_close(cached.decode(alone), cascade.decode(expected), rtol=0, atol=1e-4)


def test_cached_texts_of_a_batch_share_no_memory(cached):
    states = [cached.begin(make_request(prompt=prompt))[0] for prompt in ("a cat", "a house")]
    for state in cached.step(states):
        kept = state.conditioning["prior"].text
        assert kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()


def test_caching_a_text_leaves_the_input_state_unchanged(cached):
    (state,) = cached.begin(make_request(prior_guidance=4.0))
    first, second = cached.step([state]), cached.step([state])
    assert state.conditioning["prior"].text.dim() == 3
    assert torch.equal(first[0].latents, second[0].latents)


def test_a_state_at_the_vqgan_has_no_conditioning(cached):
    (state,) = run_steps(cached, cached.begin(make_request()))
    assert dict(state.conditioning) == {}


def test_load_enables_the_text_kv_cache(checkpoint_2023):
    ours = load(str(checkpoint_2023 / "wuerstchen"), device="cpu")
    (state,) = ours.cascade.step(ours.cascade.begin(ours.request(prompt="a cat", seed=1, prior_steps=2)))
    assert state.conditioning["prior"].text.dim() == 4


def test_hooks_of_blocks_and_networks_run_for_a_cached_text(optimized):
    prior = copy.deepcopy(optimized.prior)
    seen = []

    class Hook:
        def pre_forward(self, module, *args):
            seen.append(module)
            return args, {}

    prior._hf_hook = Hook()
    for block in prior.blocks:
        block.register_forward_pre_hook(lambda module, inputs: seen.append(module))
    with torch.inference_mode():
        prior.compute_text_kv(torch.zeros(1, 77, prior.config["c_cond"]))
    assert seen == [prior, *(block for block in prior.blocks if isinstance(block, AttnBlock))]


def test_cached_texts_use_the_chosen_attention_kernel(optimized):
    from diffusers.models.attention_processor import AttnProcessor2_0, XFormersAttnProcessor

    attention = copy.deepcopy(next(block for block in optimized.prior.blocks if isinstance(block, AttnBlock))).attention
    chosen = []
    for processor in (AttnProcessor2_0(), XFormersAttnProcessor()):
        attention.set_processor(processor)
        chosen.append(attention_function(attention).__name__)
    assert chosen == ["_sdpa", "_xformers"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_cached_texts_have_the_dtype_of_the_network(resolved, dtype):
    from wuerst_demo.networks.loader import load_components

    components = load_components(resolved, decide_placement(PlacementOptions("cpu", dtype)))
    apply_optimizations(components)
    cascade = Cascade(components, Limits())
    (state,) = cascade.step(cascade.begin(make_request()))
    assert state.conditioning["prior"].text.dtype == getattr(torch, dtype)
