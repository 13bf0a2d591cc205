"""Morphs in the cascade: what their frames are decoded from, and what stays the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.pipeline.helpers import decode_pixels, make_request, run_steps
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.pipeline.noise_generator import NoiseGenerator
from wuerst_demo.pipeline.variation import slerp
from wuerst_demo.request import Limits, morph
from wuerst_demo.variation import Variation, decode_image_embeddings, encode_image_embeddings

FIRST, LAST = make_request(seed=11), make_request(prompt="a blue dog in the snow", seed=12)


def embeddings_of(state):
    return encode_image_embeddings(state.image_embeddings[0].float().numpy())


def run_alone(cascade, request):
    """The state of a request at the VQGAN, in forward passes of its own."""
    [state] = run_steps(cascade, cascade.begin(request))
    return state


@pytest.fixture(scope="module")
def ends(cascade):
    return [run_alone(cascade, each) for each in (FIRST, LAST)]


def make_morph(ends, frames=5, **changes):
    first, last = (({**state.request.to_dict(), **changes}, embeddings_of(state)) for state in ends)
    return Limits().request(morph(first, last, frames))


def great_circle(a, b, share):
    """Shoemake 1985, in float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    angle = np.arccos(
        np.sum(a * b, -1, keepdims=True)
        / np.linalg.norm(a, axis=-1, keepdims=True)
        / np.linalg.norm(b, axis=-1, keepdims=True)
    )
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def test_the_ends_are_the_two_pictures_bit_for_bit(cascade, ends):
    request = make_morph(ends)
    for k, end in ((0, ends[0]), (4, ends[1])):
        state = run_alone(cascade, request.image(k))
        assert torch.equal(state.latents, end.latents)
        assert torch.equal(decode_pixels(cascade, [state]), decode_pixels(cascade, [end]))


def test_a_frame_starts_on_the_great_circle_of_the_latents_renoised_to_its_level(cascade, ends):
    """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise, with the cosine schedule of arXiv 2102.09672."""
    scaling = cascade._components.scaling
    latents = [
        (decode_image_embeddings(embeddings_of(end)).astype(np.float64).ravel() + scaling.latent_std)
        / scaling.latent_mean
        for end in ends
    ]
    noises = [
        torch.empty(ends[0].image_embeddings.shape[1:]).normal_(generator=torch.Generator().manual_seed(seed))
        for seed in (11, 12)
    ]
    for k, state in enumerate(cascade.begin(make_morph(ends))[1:-1], start=1):
        assert (state.index, state.stage, state.step) == (k, "prior", 0)
        level, angle = 0.6 * np.sin(np.pi * k / 4), np.pi / 2 * k / 4
        noise = np.cos(angle) * noises[0].numpy().ravel() + np.sin(angle) * noises[1].numpy().ravel()
        alpha_bar = np.cos((level + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
        expected = np.sqrt(alpha_bar) * great_circle(*latents, k / 4) + np.sqrt(1 - alpha_bar) * noise
        assert np.allclose(state.latents.numpy().ravel(), expected, atol=1e-4)
        assert state.conditioning["prior"].coefficients[0, 0].item() == pytest.approx(level)


@pytest.mark.parametrize(
    ("network", "frame", "share"), [("decoder", 2, 0.5), ("prior", 1, 0.15), ("prior", 2, 0.3), ("prior", 3, 0.85)]
)
def test_the_text_of_a_frame_lies_between_those_of_the_pictures(cascade, ends, network, frame, share):
    """The prior's has little of the further picture's: from half of each it makes a mixture of two things."""
    one, other = (cascade.begin(each)[0].conditioning[network].text.double().numpy() for each in (FIRST, LAST))
    with np.errstate(invalid="ignore"):  # the first token is that of both
        expected = great_circle(one, other, share)
    expected = np.where(np.isfinite(expected), expected, one)
    found = cascade.begin(make_morph(ends))[frame].conditioning[network].text
    assert np.allclose(found.double().numpy(), expected, atol=1e-4)


def test_guided_frames_have_negative_text_in_one_length(cascade, ends):
    long = "a red cat, " * 40
    changes = {"decoder_guidance": 3.0, "negative_prompt": "blurred"}
    first, last = (
        ({**s.request.to_dict(), **changes, "prompt": p}, embeddings_of(s))
        for s, p in zip(ends, ("a cat", long), strict=True)
    )
    request = Limits().request(morph(first, last, 3))
    state = cascade.begin(request)[1]
    conditioning = state.conditioning["decoder"]
    assert conditioning.text.shape[1] > 77
    assert conditioning.negative_text.shape == conditioning.text.shape
    assert run_steps(cascade, [state])[0].latents.isfinite().all()


def test_a_frame_is_decoded_the_same_from_its_own_request(cascade, ends):
    request = make_morph(ends)
    for k in (1, 2, 3):
        [alone] = cascade.begin(request.image(k))
        among = cascade.begin(request)[k]
        assert torch.equal(alone.latents, among.latents)
        assert torch.equal(decode_pixels(cascade, [alone]), decode_pixels(cascade, [among]))


def test_frames_share_their_steps_and_are_the_same_alone(cascade, ends):
    request = make_morph(ends, 7)
    waiting, finished, batch_sizes = cascade.begin(request), {}, []
    while waiting:
        batch = [state for state in waiting if state.key == waiting[0].key]
        batch_sizes.append(len(batch))
        others = [state for state in waiting if state not in batch]
        stepped = cascade.step(batch)
        finished.update({state.index: state for state in stepped if state.stage == "vqgan"})
        waiting = others + [state for state in stepped if state.stage != "vqgan"]
    assert max(batch_sizes) == 7
    for k, state in finished.items():
        assert torch.allclose(run_alone(cascade, request.image(k)).latents, state.latents, rtol=0, atol=1e-4)


def test_a_morph_from_a_picture_to_itself_keeps_its_details(cascade, ends):
    frame = make_morph([ends[0], ends[0]], 3).image(1)
    assert torch.equal(run_to_decoder(cascade, frame).latents, run_to_decoder(cascade, FIRST).latents)


def run_to_decoder(cascade, request):
    states = cascade.begin(request)
    while states[0].stage == "prior":
        states = cascade.step(states)
    return states[0]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("level", [None, 0, 0.5])
def test_the_noise_begins_at_that_of_each_end(cascade, ends, sampler, level):
    """Close to its end, a frame has nearly the end's noise, also where the end is a variation."""
    values = {"seed": 5, "sampler": sampler}
    if level is not None:
        values["variation"] = Variation(embeddings_of(ends[0]), level, 11)
    varied = run_to_decoder(cascade, make_request(**values))
    other = run_to_decoder(cascade, make_request(seed=6, sampler=sampler))
    for first, last, k, end in ((varied, other, 1, varied), (other, varied, 14, varied)):
        frame = run_to_decoder(cascade, make_morph([first, last], 16).image(k))
        cosine = torch.nn.functional.cosine_similarity(frame.latents.flatten(), end.latents.flatten(), dim=0)
        assert cosine.item() == pytest.approx(np.cos(np.pi / 2 / 15), abs=0.02)
        assert frame.latents.std().item() == pytest.approx(1, abs=0.05)


def test_equal_noises_mix_to_themselves_and_others_to_unit_variance():
    def drawn(generator):
        sample = torch.empty(4096)
        generator.clone().fill(sample)
        return sample

    one, other = NoiseGenerator.seeded(1), NoiseGenerator.seeded(2)
    assert torch.equal(drawn(one.mix(NoiseGenerator.seeded(1), 0.3)), drawn(one))
    mixed = one.mix(other, 0.4)
    for share in (0.25, 0.5, 0.75):  # between a noise and a mixture that has a part of it
        assert drawn(one.mix(mixed, share)).std().item() == pytest.approx(1, abs=0.03)
        assert sum(weight**2 for weight in one.mix(mixed, share).weights) == pytest.approx(1)


def test_vectors_keep_their_lengths_on_a_great_circle():
    a, b = torch.randn(3, 50), torch.randn(3, 50)
    a, b = a / a.norm(dim=1, keepdim=True), 2 * b / b.norm(dim=1, keepdim=True)
    assert torch.allclose(slerp(a, b / 2, 0.3).norm(dim=1), torch.ones(3))
    assert np.allclose(slerp(a, b, 0.3).numpy(), great_circle(a.numpy(), b.numpy(), 0.3), atol=1e-5)
    assert torch.equal(slerp(a, a, 0.5), a)


def test_a_morph_of_another_kind_of_checkpoint_is_rejected(cascade, ends):
    shape = (ends[0].image_embeddings.shape[1] * 2, *ends[0].image_embeddings.shape[2:])
    text = encode_image_embeddings(np.ones(shape, np.float32))
    values = [(state.request.to_dict(), text) for state in ends]
    with pytest.raises(InvalidRequest, match="another kind of checkpoint") as caught:
        cascade.begin(Limits().request(morph(*values, 5)))
    assert caught.value.field == "morph"
