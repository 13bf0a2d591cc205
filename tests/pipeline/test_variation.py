"""Variations in the cascade: where they start, and what stays the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.pipeline.helpers import decode_pixels, make_request, run_joining, run_steps
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.redraw_mask import encode_mask
from wuerst_demo.variation import Variation, decode_image_embeddings, encode_image_embeddings


def embeddings_of(state):
    return encode_image_embeddings(state.image_embeddings[0].float().numpy())


@pytest.fixture(scope="module")
def source(cascade):
    """The state of a picture at the VQGAN."""
    return run_steps(cascade, cascade.begin(make_request()))[0]


def vary(source, level, **values):
    details_seed = values.pop("details_seed", source.request.seed)
    return make_request(variation=Variation(embeddings_of(source), level, details_seed), **values)


def test_level_zero_gives_the_image_itself(cascade, source):
    states = cascade.begin(vary(source, 0, seed=99))
    assert states[0].stage == "decoder"
    [original, varied] = decode_pixels(cascade, [source]), decode_pixels(cascade, states)
    assert (original - varied).abs().max() < 0.01  # the embeddings are rounded to float16


def test_new_details_keep_the_composition_and_change_the_image(cascade, source):
    request = vary(source, 0, seed=99, details_seed=None, images=2)
    finished = run_steps(cascade, cascade.begin(request))
    rounded = torch.from_numpy(decode_image_embeddings(embeddings_of(source)))
    assert all(torch.equal(state.image_embeddings[0].half(), rounded) for state in finished)
    assert not torch.equal(finished[0].latents, finished[1].latents)
    assert not torch.equal(finished[0].latents, source.latents)


def decoder_noise(cascade, request):
    """The latents at the start of the decoder."""
    states = cascade.begin(request)
    while states[0].stage == "prior":
        states = cascade.step(states)
    return states[0].latents


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_the_details_go_from_those_of_the_earlier_image_to_other_ones(cascade, source, sampler):
    earlier = decoder_noise(cascade, make_request(sampler=sampler))
    assert torch.equal(decoder_noise(cascade, vary(source, 0, seed=99, sampler=sampler)), earlier)
    between = decoder_noise(cascade, vary(source, 0.5, seed=99, sampler=sampler))
    far = decoder_noise(cascade, vary(source, 1, seed=99, sampler=sampler))

    def correlation(a, b):
        return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()

    assert correlation(between, earlier) == pytest.approx(np.cos(np.pi / 4), abs=0.05)
    assert correlation(far, earlier) == pytest.approx(0, abs=0.05)
    assert between.std().item() == pytest.approx(1, abs=0.05)


def test_a_variation_starts_at_its_level_of_noise(cascade, source):
    """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise, with the cosine schedule of arXiv 2102.09672."""
    scaling = cascade._components.scaling
    embeddings = decode_image_embeddings(embeddings_of(source)).astype(np.float64)
    clean = (embeddings + scaling.latent_std) / scaling.latent_mean
    noise = torch.empty(clean.shape).normal_(generator=torch.Generator().manual_seed(99)).double().numpy()
    for level in (0.2, 0.5, 0.9):
        alpha_bar = np.cos((level + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
        expected = np.sqrt(alpha_bar) * clean + np.sqrt(1 - alpha_bar) * noise
        [state] = cascade.begin(vary(source, level, seed=99))
        assert np.allclose(state.latents[0].numpy(), expected, atol=1e-4)
        assert state.conditioning["prior"].coefficients[0, 0].item() == pytest.approx(level)


def test_a_higher_level_leaves_the_composition_further(cascade, source):
    distances = []
    for level in (0.1, 0.4, 0.8):
        request = vary(source, level, seed=99, images=4)
        finished = run_steps(cascade, cascade.begin(request))
        distances.append(sum((s.image_embeddings - source.image_embeddings).square().mean().item() for s in finished))
    assert distances == sorted(distances)


def test_a_variation_is_the_same_alone_and_in_company(cascade, source):
    requests = [
        make_request(seed=1),
        vary(source, 0.5, seed=2, prompt="a blue dog"),
        vary(source, 0, seed=3),
        vary(source, 1, seed=4),
    ]
    finished, batch_sizes = run_joining(cascade, requests)
    assert max(batch_sizes) > 1
    for request in requests:
        alone = run_steps(cascade, cascade.begin(request))[0]
        assert torch.allclose(finished[request.seed].latents, alone.latents, rtol=0, atol=1e-4)


def test_a_composition_of_another_size_is_rejected(cascade, source):
    with pytest.raises(InvalidRequest, match="another size or comes from another kind"):
        cascade.begin(vary(source, 0.5, width=256))


def test_a_variation_without_a_prior_step_has_no_note_on_its_guidance(cascade, source):
    [state] = cascade.begin(vary(source, 0, prior_guidance=4.0))
    assert state.notes == ()


@pytest.fixture(scope="module")
def large(cascade):
    """The state of a picture of 6 x 6 cells at the VQGAN."""
    return run_steps(cascade, cascade.begin(make_request(width=256, height=256)))[0]


def redraw(source, cells, level=1.0, **values):
    variation = Variation(embeddings_of(source), level, source.request.seed, encode_mask(cells))
    size = {"width": source.request.width, "height": source.request.height}
    return make_request(variation=variation, **size, **values)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("level", [0.4, 1.0])
def test_the_cells_outside_of_a_redrawn_region_stay_exactly(cascade, large, sampler, level):
    cells = np.zeros((6, 6), bool)
    cells[1:4, 2:6] = True
    rounded = decode_image_embeddings(embeddings_of(large))
    finished = run_steps(cascade, cascade.begin(redraw(large, cells, level, seed=99, sampler=sampler, images=2)))
    for state in finished:
        drawn = state.image_embeddings[0].numpy()
        assert np.array_equal(drawn[:, ~cells], rounded[:, ~cells].astype(np.float32))
        assert (drawn[:, cells] != rounded[:, cells]).all()
        assert state.known is None
    one, two = (state.image_embeddings[0].numpy()[:, cells] for state in finished)
    assert (one != two).all()


def test_known_cells_have_the_noise_of_each_steps_time(cascade, large):
    """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise, with the cosine schedule of arXiv 2102.09672."""
    scaling = cascade._components.scaling
    clean = (
        decode_image_embeddings(embeddings_of(large)).astype(np.float64) + scaling.latent_std
    ) / scaling.latent_mean
    noise = torch.empty(clean.shape).normal_(generator=torch.Generator().manual_seed(99)).double().numpy()
    cells = np.eye(6, dtype=bool)
    states, times = cascade.begin(redraw(large, cells, seed=99)), []
    while states[0].stage == "prior":
        t = states[0].conditioning["prior"].coefficients[states[0].step, 0].item()
        alpha_bar = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
        alpha_bar = np.clip(alpha_bar, 1e-4, 0.9999)
        expected = np.sqrt(alpha_bar) * clean + np.sqrt(1 - alpha_bar) * noise
        assert np.allclose(states[0].latents[0].numpy()[:, ~cells], expected[:, ~cells], atol=1e-4)
        times.append(t)
        states = cascade.step(states)
    assert len(times) == 3


def test_a_redrawn_region_keeps_the_noise_of_the_details(cascade, large):
    cells = np.eye(6, dtype=bool)
    earlier = decoder_noise(cascade, make_request(width=256, height=256))
    assert torch.equal(decoder_noise(cascade, redraw(large, cells, seed=99)), earlier)


def test_a_redrawn_region_is_the_same_alone_and_in_company(cascade, large):
    cells = np.zeros((6, 6), bool)
    cells[:3] = True
    requests = [
        make_request(seed=1, width=256, height=256),
        redraw(large, cells, seed=2, prompt="a blue dog"),
        redraw(large, ~cells, 0.6, seed=3),
        redraw(large, np.eye(6), seed=4, sampler="ddim"),
    ]
    finished, batch_sizes = run_joining(cascade, requests)
    assert max(batch_sizes) > 1
    for request in requests:
        alone = run_steps(cascade, cascade.begin(request))[0]
        assert torch.allclose(finished[request.seed].latents, alone.latents, rtol=0, atol=1e-4)
        # 42 times as large as the latents they come from
        assert torch.allclose(finished[request.seed].image_embeddings, alone.image_embeddings, rtol=0, atol=5e-3)
