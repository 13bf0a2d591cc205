"""The cascade on the 2023 checkpoint, compared with its stored arrays and with the stock pipelines."""

from __future__ import annotations

import copy
import dataclasses
import gc
import threading
import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMWuerstchenScheduler
from diffusers.pipelines.deprecated.wuerstchen import WuerstchenDecoderPipeline, WuerstchenPriorPipeline
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.fakes.devices import FakeHardware
from tests.pipeline.helpers import SMALL_REQUEST, decode_pixels, make_request, optimized_copy, run_joining, run_steps
from wuerst_demo.errors import UserError
from wuerst_demo.networks.offload import NETWORK_NAMES
from wuerst_demo.pipeline import noise_schedule
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.request import Limits


class DDIMScheduler(DDPMWuerstchenScheduler):
    """Equation 12 of arXiv 2010.02502 with sigma 0 in place of the stock scheduler's update."""

    def step(self, model_output, timestep, sample, **kwargs):
        t, t_next = timestep[0], self.previous_timestep(timestep)[0]
        a = self._alpha_cumprod(t, "cpu").double()
        a_next = self._alpha_cumprod(t_next, "cpu").double() if t_next else torch.tensor(1.0)
        clean = (sample.double() - (1 - a).sqrt() * model_output) / a.sqrt()
        return SimpleNamespace(prev_sample=(a_next.sqrt() * clean + (1 - a_next).sqrt() * model_output).float())


def run_stock_pipelines(components, request, output_type="pt"):
    """Image embeddings and image of a one-image request from diffusers' own pipelines, from one CPU generator."""
    scheduler = {"ddpm": DDPMWuerstchenScheduler, "ddim": DDIMScheduler}[request.sampler]
    prior = WuerstchenPriorPipeline(
        tokenizer=components.prior_tokenizer,
        text_encoder=components.prior_text_encoder,
        prior=components.prior,
        scheduler=scheduler(),
    )
    decoder = WuerstchenDecoderPipeline(
        tokenizer=components.decoder_tokenizer,
        text_encoder=components.decoder_text_encoder,
        decoder=components.decoder,
        scheduler=scheduler(),
        vqgan=components.vqgan,
    )
    for pipeline in (prior, decoder):
        pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(request.seed)
    steps = (
        {"timesteps": list(noise_schedule.two_part_timesteps(request.prior_steps))}
        if request.prior_schedule == "two-part"
        else {"num_inference_steps": request.prior_steps}
    )
    embeddings = prior(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=request.width,
        height=request.height,
        guidance_scale=request.prior_guidance,
        generator=generator,
        **steps,
    ).image_embeddings
    image = decoder(
        image_embeddings=embeddings,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.decoder_steps,
        guidance_scale=request.decoder_guidance,
        generator=generator,
        output_type=output_type,
    ).images
    return embeddings, image


@contextmanager
def before_every_forward(network, act):
    """Calls `act(samples in the batch)` before each forward pass of the network."""
    hook = network.register_forward_pre_hook(lambda module, inputs: act(len(inputs[0])))
    try:
        yield
    finally:
        hook.remove()


def raises_error(error):
    def act(samples):
        raise error

    return act


# ---------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("number", [0, 2, 3])
def test_images_equal_those_of_the_2023_libraries(cascade, checkpoint_2023, cases_2023, number):
    case = cases_2023[number]
    arrays = np.load(checkpoint_2023 / f"case{number}.npz")
    two_part = case["prior_timesteps"] is not None
    request = make_request(
        prompt=case["prompt"],
        negative_prompt=case["negative_prompt"] or "",
        width=case["width"],
        height=case["height"],
        seed=case["seed"],
        prior_steps=29 if two_part else case["prior_steps"],
        prior_schedule="two-part" if two_part else "linear",
        prior_guidance=case["prior_guidance_scale"],
        decoder_steps=case["decoder_steps"],
        decoder_guidance=case["decoder_guidance_scale"],
    )
    (state,) = run_steps(cascade, cascade.begin(request))
    expected = arrays["image_embeddings"]
    assert np.abs(state.image_embeddings.numpy() - expected).max() <= 1e-3 * np.abs(expected).max()
    assert np.abs(cascade.decode([state]).clamp(0, 1).numpy() - arrays["image"]).max() <= 1e-3


@pytest.mark.parametrize(
    "values",
    [
        {"prior_schedule": "linear"},
        {"prior_guidance": 1.0, "decoder_guidance": 1.0, "negative_prompt": "blue"},
        {"prior_guidance": 4.0, "negative_prompt": "blue house", "prior_steps": 7},
        {"prior_guidance": 4.0, "width": 384, "height": 256, "prior_steps": 1, "decoder_steps": 1},
        {"prior_guidance": 1.1, "decoder_guidance": 3.0, "negative_prompt": "cat", "width": 256},
        {"prior_guidance": 0.0, "decoder_guidance": 8.0, "prior_schedule": "linear", "prior_steps": 6},
        {"sampler": "ddim", "prior_guidance": 4.0, "decoder_guidance": 2.0, "prior_steps": 5, "decoder_steps": 4},
        {"sampler": "ddim", "prior_guidance": 0.0, "prior_steps": 2, "decoder_steps": 2},
        {"sampler": "ddim", "prior_guidance": 0.0, "prior_steps": 1, "decoder_steps": 1},
    ],
    ids=lambda values: " ".join(f"{name}={value}" for name, value in values.items()),
)
def test_images_equal_those_of_the_stock_pipelines(cascade, components, values):
    request = make_request(prompt="anthropomorphic cat dressed as a firefighter", **values)
    embeddings, image = run_stock_pipelines(components, request)
    (state,) = run_steps(cascade, cascade.begin(request))
    torch.testing.assert_close(state.image_embeddings, embeddings, rtol=1e-4, atol=1e-4 * float(embeddings.abs().max()))
    torch.testing.assert_close(cascade.decode([state]).clamp(0, 1), image, rtol=0, atol=1e-4)


def test_a_finished_image_equals_that_of_the_stock_pipelines(cascade, components):
    request = make_request(width=256, prior_guidance=4.0)
    (expected,) = run_stock_pipelines(components, request, output_type="pil")[1]
    (image,) = cascade.finish(run_steps(cascade, cascade.begin(request)))
    assert (image.mode, image.size) == ("RGB", (256, 128))
    difference = np.asarray(image, dtype=int) - np.asarray(expected, dtype=int)
    assert np.abs(difference).max() <= 1


def half_precision(components, dtype):
    """A copy as it is loaded in half precision."""
    half = optimized_copy(components)
    for name in NETWORK_NAMES:
        nn.Module.to(getattr(half, name), dtype)
    return half


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_closer_to_float32_than_the_stock_pipelines(components, cascade, dtype, steps):
    request = make_request(prior_guidance=4.0, decoder_guidance=2.0, prior_steps=steps, decoder_steps=steps)
    (exact,) = run_steps(cascade, cascade.begin(request))
    half = half_precision(components, dtype)
    (state,) = run_steps(cascade := Cascade(half, Limits()), cascade.begin(request))
    plain = {name: copy.deepcopy(getattr(components, name)).to(dtype) for name in NETWORK_NAMES}
    stock, _ = run_stock_pipelines(dataclasses.replace(half, **plain), request)
    error, stock_error = (
        float((each.float() - exact.image_embeddings).abs().mean()) for each in (state.image_embeddings, stock)
    )
    assert error < stock_error / 2
    assert state.latents.dtype == torch.float32


def test_half_precision_is_named_as_the_reason_of_values_that_are_not_finite(components):
    cascade = Cascade(half_precision(components, torch.bfloat16), Limits())
    (state,) = run_steps(cascade, cascade.begin(make_request()))
    (spoilt,) = cascade.finish([dataclasses.replace(state, latents=torch.full_like(state.latents, torch.nan))])
    assert "--dtype float32" in str(spoilt)


# ---------------------------------------------------------------------------------------------- company


def test_images_in_a_batch_equal_their_single_runs(cascade):
    """Different prompts, seeds, guidance, its intervals, step counts, schedules and samplers, joining one by one."""
    requests = [
        make_request(prompt="a red cat", seed=1, prior_guidance=4.0, prior_steps=5),
        make_request(prompt="a blue house", seed=2, prior_steps=3, decoder_guidance=2.0),
        make_request(prompt="cat", negative_prompt="house", seed=3, prior_guidance=8.0, prior_schedule="linear"),
        make_request(prompt="", seed=4, prior_steps=4, decoder_steps=5),
        make_request(
            prompt="a house", seed=5, prior_guidance=1.5, prior_steps=1, decoder_steps=3, decoder_guidance=4.0
        ),
        make_request(prompt="a red house", seed=6, sampler="ddim", prior_steps=4, prior_guidance=4.0),
        make_request(
            prompt="a cat", seed=7, prior_steps=6, prior_guidance=4.0, decoder_guidance=2.0, guidance_from=0.3
        ),
        make_request(seed=8, sampler="ddim", prior_guidance=3.0, decoder_guidance=3.0, guidance_to=0.4),
    ]
    finished, batch_sizes = run_joining(cascade, requests)
    assert max(batch_sizes) >= 3, "states did not meet"
    for request in requests:
        (alone,) = run_steps(cascade, cascade.begin(request))
        state = finished[request.seed]
        torch.testing.assert_close(state.image_embeddings, alone.image_embeddings, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(cascade.decode([state]), cascade.decode([alone]), rtol=0, atol=1e-4)


def test_states_are_returned_in_their_order(cascade):
    requests = [
        make_request(seed=seed, prior_guidance=guidance) for seed, guidance in [(1, 0.0), (2, 4.0), (3, 0.0), (4, 2.0)]
    ]
    states = [state for request in requests for state in cascade.begin(request)]
    moved = cascade.step(states)
    assert [state.request for state in moved] == requests
    for state, after in zip(states, moved, strict=True):
        torch.testing.assert_close(after.latents, cascade.step([state])[0].latents, rtol=1e-4, atol=1e-4)


def test_only_guided_images_take_two_samples_of_a_forward_pass(cascade, components):
    guidances = [(0.0, 3.0), (4.0, 0.0), (1.0, 1.0), (2.0, 2.0)]
    requests = [make_request(prior_guidance=prior, decoder_guidance=decoder) for prior, decoder in guidances]
    states = [state for request in requests for state in cascade.begin(request)]
    samples = []
    with (
        before_every_forward(components.prior, samples.append),
        before_every_forward(components.decoder, samples.append),
    ):
        run_steps(cascade, states)
    assert samples == [6] * SMALL_REQUEST["prior_steps"] + [6] * SMALL_REQUEST["decoder_steps"]


def test_steps_outside_the_interval_of_guidance_take_one_sample(cascade, components):
    """Four linear prior steps at 0, 0.25, 0.5 and 0.75 of the way, two decoder steps at 0 and 0.5."""
    values = {"prior_schedule": "linear", "prior_steps": 4, "prior_guidance": 4.0, "decoder_guidance": 2.0}
    intervals = [(0.0, 1.0), (0.25, 0.75), (0.5, 1.0)]
    states = [
        state for a, b in intervals for state in cascade.begin(make_request(**values, guidance_from=a, guidance_to=b))
    ]
    samples = []
    with (
        before_every_forward(components.prior, samples.append),
        before_every_forward(components.decoder, samples.append),
    ):
        run_steps(cascade, states)
    assert samples == [4, 5, 6, 5, 4, 6]


def test_an_interval_changes_only_the_steps_outside_it(cascade):
    values = {"prior_schedule": "linear", "prior_steps": 4}
    settings = ({"prior_guidance": 4.0}, {"prior_guidance": 4.0, "guidance_from": 0.5}, {})
    (guided,), (late,), (plain,) = (cascade.begin(make_request(**values, **more)) for more in settings)
    for _ in range(2):
        (guided,), (late,), (plain,) = cascade.step([guided]), cascade.step([late]), cascade.step([plain])
        assert torch.equal(late.latents, plain.latents)
        assert not torch.allclose(late.latents, guided.latents)
    (late,), (plain,) = cascade.step([late]), cascade.step([plain])
    assert not torch.allclose(late.latents, plain.latents)


def test_an_interval_without_a_step_is_noted(cascade):
    request = make_request(prior_guidance=4.0, negative_prompt="blue", guidance_from=0.8, guidance_to=0.9)
    (state,) = cascade.begin(request)
    assert state.notes == (
        "The negative prompt has no effect, because no step is guided.",
        "Prior: none of its 3 steps begins between 0.8 and 0.9, so it is not guided.",
    )


def test_ddim_draws_noise_only_at_the_start_of_each_network(cascade):
    (few,), (many,) = (cascade.begin(make_request(sampler="ddim", prior_steps=steps)) for steps in (1, 5))
    while few.stage == "prior" or many.stage == "prior":
        few, many = (each if each.stage == "decoder" else cascade.step([each])[0] for each in (few, many))
    assert torch.equal(few.latents, many.latents)
    assert not torch.allclose(few.image_embeddings, many.image_embeddings)


def test_each_image_of_a_request_equals_its_own_request(cascade):
    request = make_request(images=3, seed=2**32 - 2, prior_guidance=4.0)
    states = cascade.begin(request)
    assert [state.request.seed for state in states] == [2**32 - 2, 2**32 - 1, 0]
    together = decode_pixels(cascade, states)
    for k in range(3):
        torch.testing.assert_close(
            together[k : k + 1], decode_pixels(cascade, cascade.begin(request.image(k))), rtol=0, atol=1e-4
        )
    assert not torch.allclose(together[0], together[1], atol=1e-2), "seeds make no difference"


def test_states_of_other_shapes_or_stages_have_other_keys(cascade):
    plain, wide = cascade.begin(make_request()), cascade.begin(make_request(width=256))
    keys = {
        state.key
        for state in (*plain, *wide, *cascade.begin(make_request(prompt="cat", prior_guidance=4.0, prior_steps=9)))
    }
    assert len(keys) == 2
    keys |= {state.key for state in run_steps(cascade, plain)}
    assert len(keys) == 3


def test_states_with_longer_text_have_another_key(cascade):
    (short,) = cascade.begin(make_request(prompt="cat"))
    (long,) = cascade.begin(make_request(prompt="cat, " * 60))
    assert short.key != long.key
    assert long.conditioning["prior"].text.shape[1] > 77
    cascade.step([long])


def test_states_have_the_notes_of_both_prompts(cascade):
    read = cascade.begin(
        make_request(prompt="cat, " * 60, negative_prompt="dog, " * 60, weighting=False, prior_guidance=4.0)
    )
    assert any(not note.startswith("Negative prompt: ") for note in read[0].notes)
    assert any(note.startswith("Negative prompt: ") for note in read[0].notes)
    (unguided,) = cascade.begin(make_request(negative_prompt="dog"))
    assert unguided.notes == ("The negative prompt has no effect, because no step is guided.",)


# ---------------------------------------------------------------------------------------------- steps that fail


def test_a_step_leaves_its_input_states_unchanged(cascade):
    states = cascade.begin(make_request(images=2))
    before = [state.latents.clone() for state in states]
    first, second = cascade.step(states), cascade.step(states)
    for state, latents in zip(states, before, strict=True):
        assert torch.equal(state.latents, latents)
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one.latents, two.latents)


def test_a_failed_step_can_be_repeated_with_the_same_result(cascade, components):
    request = make_request(images=2, prior_guidance=4.0)
    states, expected = cascade.begin(request), decode_pixels(cascade, cascade.begin(request))
    while states[0].stage != "vqgan":
        network = {"prior": components.prior, "decoder": components.decoder}[states[0].stage]
        with before_every_forward(network, raises_error(torch.OutOfMemoryError("out"))), pytest.raises(MemoryError):
            cascade.step(states)
        states = cascade.step(states)
    assert torch.equal(cascade.decode(states).clamp(0, 1), expected)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    ],
)
def test_out_of_memory_on_any_device_is_a_memory_error_without_tensors(cascade, components, error):
    states = cascade.begin(make_request())
    with before_every_forward(components.prior, raises_error(error)), pytest.raises(MemoryError) as caught:
        cascade.step(states)
    assert caught.value.__context__ is None


def test_a_lack_of_main_memory_is_reported_before_the_system_kills_the_process(components):
    cascade = Cascade(components, Limits(), hardware=FakeHardware(free_gb={"cpu": 0.001}))
    (small,) = cascade.begin(make_request())
    cascade.step([small])  # so little is taken to be there
    large = dataclasses.replace(small.request, width=2**14, height=2**14)
    waiting = dataclasses.replace(small, request=large, stage="vqgan", latents=torch.zeros(1, 4, 2, 2))
    with pytest.raises(MemoryError, match="main memory"):
        cascade.finish([waiting])
    assert len(Cascade(components, Limits(), hardware=FakeHardware(free_gb={"cpu": 1e6})).finish([waiting])) == 1


def test_decoder_and_vqgan_are_given_channels_last_latents(cascade, components):
    given = []
    first_layers = (components.decoder.embedding, components.vqgan.up_blocks)
    hooks = [each.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0])) for each in first_layers]
    try:
        decode_pixels(cascade, cascade.begin(make_request(images=2)))
    finally:
        for hook in hooks:
            hook.remove()
    assert len(given) == SMALL_REQUEST["decoder_steps"] + 1
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in given)
    assert not any(each.is_contiguous() for each in given)


def test_other_errors_of_a_network_are_passed_on(cascade, components):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with before_every_forward(components.prior, raises_error(error)), pytest.raises(RuntimeError) as caught:
        cascade.step(cascade.begin(make_request()))
    assert caught.value is error


def test_non_finite_pixels_give_an_error_with_a_remedy_for_that_image(cascade):
    states = run_steps(cascade, cascade.begin(make_request(images=3)))
    half = dataclasses.replace(states[1], latents=torch.full_like(states[1].latents, torch.nan))
    first, spoilt, third = cascade.finish([states[0], half, states[2]])
    assert isinstance(spoilt, UserError)
    assert str(spoilt).startswith("Picture 2 ")
    assert "lower the guidance" in str(spoilt)
    expected = cascade.finish(states)
    assert (first.tobytes(), third.tobytes()) == (expected[0].tobytes(), expected[2].tobytes())


# ---------------------------------------------------------------------------------------------- device and threads


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_step_never_waits_for_a_value_from_the_device(cascade):
    mixed = [*cascade.begin(make_request(prior_guidance=4.0)), *cascade.begin(make_request(decoder_guidance=4.0))]
    with Operations() as seen:
        run_steps(cascade, mixed)
    assert {"conv2d", "convolution"} & set(seen.names), "the networks' own operations are among those seen"
    assert not {"_local_scalar_dense", "item", "is_nonzero", "nonzero"} & set(seen.names)


def test_any_thread_may_take_the_next_step(cascade):
    request = make_request(images=2)
    states, expected = cascade.begin(request), decode_pixels(cascade, cascade.begin(request))
    while states[0].stage != "vqgan":
        moved = []
        thread = threading.Thread(target=lambda states=states, moved=moved: moved.extend(cascade.step(states)))
        thread.start()
        thread.join()
        states = moved
    assert torch.equal(cascade.decode(states).clamp(0, 1), expected)
    assert not any(state.latents.requires_grad for state in states)


# ---------------------------------------------------------------------------------------------- what there is to see


def test_estimates_invert_the_noising_and_the_last_is_the_clean_latents(cascade):
    """The update's own arithmetic: at the last evaluation the mean of the posterior is the estimate itself."""
    states = cascade.begin(make_request(prior_steps=3))
    for step in range(3):
        before, states = states[0], cascade.step(states)
        (estimate,) = cascade.estimate_latents(states)
        assert estimate.shape == tuple(before.latents.shape[1:])
        assert estimate.dtype == np.float32
        t = before.conditioning["prior"].coefficients[step, :1]
        level = noise_schedule.alpha_bar(t)
        again = level.sqrt() * torch.tensor(estimate) + (1 - level).sqrt() * states[0].prediction.noise
        assert torch.allclose(again, before.latents, atol=1e-4)
    clean = (
        states[0].image_embeddings + cascade._components.scaling.latent_std
    ) / cascade._components.scaling.latent_mean
    # alpha-bar is clamped to 0.9999, so the last step leaves a hundredth of the noise behind.
    assert torch.allclose(torch.tensor(estimate), clean[0], atol=0.05)


def test_estimates_of_large_images_are_averaged_down(cascade):
    states = run_steps(cascade, cascade.begin(make_request(width=512, height=256, prior_steps=1, decoder_steps=1)))
    (estimate,) = cascade.estimate_latents(states)
    whole = noise_schedule.predict_clean_latents(
        states[0].prediction.latents, states[0].prediction.noise, states[0].prediction.t
    )[0]
    assert tuple(whole.shape[1:]) == (64, 128)
    assert estimate.shape == (4, 32, 64)
    assert np.allclose(estimate[:, 0, 0], whole[:, :2, :2].mean((1, 2)), atol=1e-6)


def test_an_image_with_non_finite_values_fails_alone(cascade):
    values = {"prompt": "a red cat", "width": 128, "height": 128, "prior_steps": 2, "decoder_steps": 1}
    states = [
        cascade.begin(Limits().request({**values, "seed": seed, "prior_guidance": guidance}))[0]
        for seed, guidance in ((1, 0.0), (2, 4.0), (3, 4.0))
    ]
    broken = dataclasses.replace(states[1], latents=states[1].latents * float("nan"))
    stepped = cascade.step([states[0], broken, states[2]])
    assert isinstance(stepped[1], UserError)
    assert "not finite; lower the guidance" in str(stepped[1])
    alone = [cascade.step([state])[0] for state in (states[0], states[2])]
    for state, single in zip((stepped[0], stepped[2]), alone, strict=True):
        assert state.request.seed == single.request.seed
        assert torch.allclose(state.latents, single.latents, rtol=1e-4, atol=1e-4)


def test_a_step_keeps_no_reference_to_the_image_states_it_was_given(cascade):
    request = Limits().request({"prompt": "x", "width": 128, "height": 128, "images": 2, "seed": 1, "prior_steps": 4})
    states = cascade.step(cascade.step(cascade.begin(request)))
    lost, kept = states
    batch = weakref.ref(lost.latents.untyped_storage())
    memory = lost.latents.untyped_storage().data_ptr()
    assert kept.latents.untyped_storage().data_ptr() == memory  # both are views of one batch
    gone = weakref.ref(lost)
    del lost, states
    (kept,) = cascade.step([kept])
    (kept,) = cascade.step([kept])
    gc.collect()
    assert gone() is None
    assert batch() is None
