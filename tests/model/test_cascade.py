"""The cascade over rows, on the 2023 checkpoint; the oracles are its stored arrays and the stock pipelines."""

from __future__ import annotations

import copy
import dataclasses
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers import DDPMWuerstchenScheduler
from diffusers.pipelines.deprecated.wuerstchen import WuerstchenDecoderPipeline, WuerstchenPriorPipeline
from torch.utils._python_dispatch import TorchDispatchMode

from tests.model.machines import Elsewhere
from wuerst_demo.errors import UserError
from wuerst_demo.model import schedule
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.request import Limits

PLAIN = {
    "prompt": "a red cat",
    "width": 128,
    "height": 128,
    "seed": 11,
    "prior_steps": 3,
    "decoder_steps": 2,
    "prior_guidance": 0.0,
}


def request(**values):
    return Limits().request({**PLAIN, **values})


def drawn(cascade, rows):
    """The rows at the VQGAN, each batch stepped together; all have one key at any time."""
    while rows[0].stage != "vqgan":
        rows = cascade.step(rows)
    return rows


def pixels(cascade, rows):
    return cascade.decode(drawn(cascade, rows)).clamp(0, 1)


def stock(parts, wish, output_type="pt"):
    """Image embeddings and picture of a one-image request by diffusers' own pipelines, from one CPU generator."""
    prior = WuerstchenPriorPipeline(
        tokenizer=parts.prior_tokenizer,
        text_encoder=parts.prior_text_encoder,
        prior=parts.prior,
        scheduler=DDPMWuerstchenScheduler(),
    )
    decoder = WuerstchenDecoderPipeline(
        tokenizer=parts.decoder_tokenizer,
        text_encoder=parts.decoder_text_encoder,
        decoder=parts.decoder,
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=parts.vqgan,
    )
    for pipeline in (prior, decoder):
        pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(wish.seed)
    steps = (
        {"timesteps": list(schedule.two_part(wish.prior_steps))}
        if wish.prior_schedule == "two-part"
        else {"num_inference_steps": wish.prior_steps}
    )
    embeddings = prior(
        prompt=wish.prompt,
        negative_prompt=wish.negative_prompt,
        width=wish.width,
        height=wish.height,
        guidance_scale=wish.prior_guidance,
        generator=generator,
        **steps,
    ).image_embeddings
    picture = decoder(
        image_embeddings=embeddings,
        prompt=wish.prompt,
        negative_prompt=wish.negative_prompt,
        num_inference_steps=wish.decoder_steps,
        guidance_scale=wish.decoder_guidance,
        generator=generator,
        output_type=output_type,
    ).images
    return embeddings, picture


@contextmanager
def before_every_forward(network, act):
    """Calls `act(samples in the batch)` before each forward pass of the network."""
    hook = network.register_forward_pre_hook(lambda module, inputs: act(len(inputs[0])))
    try:
        yield
    finally:
        hook.remove()


def failing(error):
    def act(samples):
        raise error

    return act


# ---------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("number", [0, 2, 3])
def test_it_draws_what_the_2023_libraries_drew(cascade, checkpoint_2023, cases_2023, number):
    case = cases_2023[number]
    arrays = np.load(checkpoint_2023 / f"case{number}.npz")
    two_part = case["prior_timesteps"] is not None
    wish = request(
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
    (row,) = drawn(cascade, cascade.begin(wish))
    expected = arrays["image_embeddings"]
    assert np.abs(row.embeddings.numpy() - expected).max() <= 1e-3 * np.abs(expected).max()
    assert np.abs(cascade.decode([row]).clamp(0, 1).numpy() - arrays["image"]).max() <= 1e-3


@pytest.mark.parametrize(
    "values",
    [
        {"prior_schedule": "linear"},
        {"prior_guidance": 1.0, "decoder_guidance": 1.0, "negative_prompt": "blue"},
        {"prior_guidance": 4.0, "negative_prompt": "blue house", "prior_steps": 7},
        {"prior_guidance": 4.0, "width": 384, "height": 256, "prior_steps": 1, "decoder_steps": 1},
        {"prior_guidance": 1.1, "decoder_guidance": 3.0, "negative_prompt": "cat", "width": 256},
        {"prior_guidance": 0.0, "decoder_guidance": 8.0, "prior_schedule": "linear", "prior_steps": 6},
    ],
    ids=lambda values: " ".join(f"{name}={value}" for name, value in values.items()),
)
def test_it_draws_what_the_stock_pipelines_draw(cascade, parts, values):
    wish = request(prompt="anthropomorphic cat dressed as a firefighter", **values)
    embeddings, picture = stock(parts, wish)
    (row,) = drawn(cascade, cascade.begin(wish))
    torch.testing.assert_close(row.embeddings, embeddings, rtol=1e-4, atol=1e-4 * float(embeddings.abs().max()))
    torch.testing.assert_close(cascade.decode([row]).clamp(0, 1), picture, rtol=0, atol=1e-4)


def test_the_finished_picture_is_the_stock_pipelines_picture(cascade, parts):
    wish = request(width=256, prior_guidance=4.0)
    (expected,) = stock(parts, wish, output_type="pil")[1]
    (picture,) = cascade.finish(drawn(cascade, cascade.begin(wish)))
    assert (picture.mode, picture.size) == ("RGB", (256, 128))
    difference = np.asarray(picture, dtype=int) - np.asarray(expected, dtype=int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_follows_the_stock_pipelines_too(parts, dtype):
    networks = ("prior", "decoder", "vqgan", "prior_text_encoder", "decoder_text_encoder")
    halves = {name: copy.deepcopy(getattr(parts, name)).to(dtype) for name in networks}
    half = dataclasses.replace(parts, **halves)
    cascade = Cascade(half, Limits())
    wish = request(prior_guidance=4.0, decoder_guidance=2.0)
    embeddings, picture = stock(half, wish)
    (row,) = drawn(cascade, cascade.begin(wish))
    assert row.latents.dtype == dtype
    torch.testing.assert_close(row.embeddings, embeddings)
    torch.testing.assert_close(cascade.decode([row]).clamp(0, 1), picture)
    (spoilt,) = cascade.finish([dataclasses.replace(row, latents=torch.full_like(row.latents, torch.nan))])
    assert "--dtype float32" in str(spoilt)


# ---------------------------------------------------------------------------------------------- company


def test_a_batch_equals_its_single_runs(cascade):
    """Different prompts, seeds, guidance, step counts and schedules, joining one after another."""
    wishes = [
        request(prompt="a red cat", seed=1, prior_guidance=4.0, prior_steps=5),
        request(prompt="a blue house", seed=2, prior_steps=3, decoder_guidance=2.0),
        request(prompt="cat", negative_prompt="house", seed=3, prior_guidance=8.0, prior_schedule="linear"),
        request(prompt="", seed=4, prior_steps=4, decoder_steps=5),
        request(prompt="a house", seed=5, prior_guidance=1.5, prior_steps=1, decoder_steps=3, decoder_guidance=4.0),
    ]
    waiting = [row for wish in wishes for row in cascade.begin(wish)]
    flying, landed, shared = [], {}, 0
    while waiting or flying:
        flying += waiting[:1]
        waiting = waiting[1:]
        batch = [row for row in flying if row.key == flying[-1].key]
        shared = max(shared, len(batch))
        others = [row for row in flying if row not in batch]
        moved = cascade.step(batch)
        landed.update({row.request.seed: row for row in moved if row.stage == "vqgan"})
        flying = others + [row for row in moved if row.stage != "vqgan"]
    assert shared >= 3, "rows did not meet"
    for wish in wishes:
        (alone,) = drawn(cascade, cascade.begin(wish))
        row = landed[wish.seed]
        torch.testing.assert_close(row.embeddings, alone.embeddings, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(cascade.decode([row]), cascade.decode([alone]), rtol=0, atol=1e-4)


def test_rows_come_back_in_the_order_they_went_in(cascade):
    wishes = [
        request(seed=seed, prior_guidance=guidance) for seed, guidance in [(1, 0.0), (2, 4.0), (3, 0.0), (4, 2.0)]
    ]
    rows = [row for wish in wishes for row in cascade.begin(wish)]
    moved = cascade.step(rows)
    assert [row.request for row in moved] == wishes
    for row, after in zip(rows, moved, strict=True):
        torch.testing.assert_close(after.latents, cascade.step([row])[0].latents, rtol=1e-4, atol=1e-4)


def test_only_guided_rows_take_two_places_in_a_forward_pass(cascade, parts):
    guidances = [(0.0, 3.0), (4.0, 0.0), (1.0, 1.0), (2.0, 2.0)]
    wishes = [request(prior_guidance=prior, decoder_guidance=decoder) for prior, decoder in guidances]
    rows = [row for wish in wishes for row in cascade.begin(wish)]
    samples = []
    with before_every_forward(parts.prior, samples.append), before_every_forward(parts.decoder, samples.append):
        drawn(cascade, rows)
    assert samples == [6] * PLAIN["prior_steps"] + [6] * PLAIN["decoder_steps"]


def test_each_image_of_a_request_equals_the_request_that_draws_it_alone(cascade):
    wish = request(images=3, seed=2**32 - 2, prior_guidance=4.0)
    rows = cascade.begin(wish)
    assert [row.request.seed for row in rows] == [2**32 - 2, 2**32 - 1, 0]
    together = pixels(cascade, rows)
    for k in range(3):
        torch.testing.assert_close(
            together[k : k + 1], pixels(cascade, cascade.begin(wish.image(k))), rtol=0, atol=1e-4
        )
    assert not torch.allclose(together[0], together[1], atol=1e-2), "seeds make no difference"


def test_rows_of_other_shapes_or_stages_have_other_keys(cascade):
    plain, wide = cascade.begin(request()), cascade.begin(request(width=256))
    keys = {
        row.key for row in (*plain, *wide, *cascade.begin(request(prompt="cat", prior_guidance=4.0, prior_steps=9)))
    }
    assert len(keys) == 2
    keys |= {row.key for row in drawn(cascade, plain)}
    assert len(keys) == 3


def test_rows_with_longer_text_have_another_key(cascade):
    (short,) = cascade.begin(request(prompt="cat"))
    (long,) = cascade.begin(request(prompt="cat, " * 60))
    assert short.key != long.key
    assert long.legs["prior"].text.shape[1] > 77
    cascade.step([long])


def test_rows_say_how_both_prompts_were_read(cascade):
    read = cascade.begin(
        request(prompt="cat, " * 60, negative_prompt="dog, " * 60, weighting=False, prior_guidance=4.0)
    )
    assert any(not note.startswith("Negative prompt: ") for note in read[0].notes)
    assert any(note.startswith("Negative prompt: ") for note in read[0].notes)
    (unguided,) = cascade.begin(request(negative_prompt="dog"))
    assert unguided.notes == ("The negative prompt has no effect, because both guidances are 1 or less.",)


# ---------------------------------------------------------------------------------------------- steps that fail


def test_a_step_leaves_its_rows_as_they_were(cascade):
    rows = cascade.begin(request(images=2))
    before = [row.latents.clone() for row in rows]
    first, second = cascade.step(rows), cascade.step(rows)
    for row, latents in zip(rows, before, strict=True):
        assert torch.equal(row.latents, latents)
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one.latents, two.latents)


def test_rows_whose_step_failed_can_be_tried_again_with_the_same_result(cascade, parts):
    wish = request(images=2, prior_guidance=4.0)
    rows, expected = cascade.begin(wish), pixels(cascade, cascade.begin(wish))
    while rows[0].stage != "vqgan":
        network = {"prior": parts.prior, "decoder": parts.decoder}[rows[0].stage]
        with before_every_forward(network, failing(torch.OutOfMemoryError("out"))), pytest.raises(MemoryError):
            cascade.step(rows)
        rows = cascade.step(rows)
    assert torch.equal(cascade.decode(rows).clamp(0, 1), expected)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
    ],
)
def test_every_devices_lack_of_memory_is_a_memory_error_that_holds_no_tensors(cascade, parts, error):
    rows = cascade.begin(request())
    with before_every_forward(parts.prior, failing(error)), pytest.raises(MemoryError) as caught:
        cascade.step(rows)
    assert caught.value.__context__ is None


def test_main_memory_that_has_no_room_is_said_before_the_system_ends_the_program(parts):
    cascade = Cascade(parts, Limits(), machine=Elsewhere(free={"cpu": 0.001}))
    (small,) = cascade.begin(request())
    cascade.step([small])  # so little is taken to be there
    large = dataclasses.replace(small.request, width=2**14, height=2**14)
    waiting = dataclasses.replace(small, request=large, stage="vqgan", latents=torch.zeros(1, 4, 2, 2))
    with pytest.raises(MemoryError, match="main memory"):
        cascade.finish([waiting])
    assert len(Cascade(parts, Limits(), machine=Elsewhere(free={"cpu": 1e6})).finish([waiting])) == 1


def test_other_errors_of_a_network_pass_as_they_are(cascade, parts):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with before_every_forward(parts.prior, failing(error)), pytest.raises(RuntimeError) as caught:
        cascade.step(cascade.begin(request()))
    assert caught.value is error


def test_a_picture_that_is_not_numbers_is_refused_with_a_remedy_and_the_others_come(cascade):
    rows = drawn(cascade, cascade.begin(request(images=3)))
    half = dataclasses.replace(rows[1], latents=torch.full_like(rows[1].latents, torch.nan))
    first, spoilt, third = cascade.finish([rows[0], half, rows[2]])
    assert isinstance(spoilt, UserError)
    assert str(spoilt).startswith("Picture 2 ")
    assert "lower the guidance" in str(spoilt)
    expected = cascade.finish(rows)
    assert (first.tobytes(), third.tobytes()) == (expected[0].tobytes(), expected[2].tobytes())


# ---------------------------------------------------------------------------------------------- device and threads


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_step_never_waits_for_a_number_from_the_device(cascade):
    mixed = [*cascade.begin(request(prior_guidance=4.0)), *cascade.begin(request(decoder_guidance=4.0))]
    with Operations() as seen:
        drawn(cascade, mixed)
    assert {"conv2d", "convolution"} & set(seen.names), "the networks' own operations are among those seen"
    assert not {"_local_scalar_dense", "item", "is_nonzero", "nonzero"} & set(seen.names)


def test_any_thread_may_take_the_next_step(cascade):
    wish = request(images=2)
    rows, expected = cascade.begin(wish), pixels(cascade, cascade.begin(wish))
    while rows[0].stage != "vqgan":
        moved = []
        thread = threading.Thread(target=lambda rows=rows, moved=moved: moved.extend(cascade.step(rows)))
        thread.start()
        thread.join()
        rows = moved
    assert torch.equal(cascade.decode(rows).clamp(0, 1), expected)
    assert not any(row.latents.requires_grad for row in rows)


# ---------------------------------------------------------------------------------------------- what there is to see


def test_the_last_estimate_is_the_clean_latents_and_an_early_one_is_what_the_noise_leaves(cascade):
    """The update's own arithmetic: at the last evaluation the mean of the posterior is the estimate itself."""
    rows = cascade.begin(request(prior_steps=3))
    for step in range(3):
        before, rows = rows[0], cascade.step(rows)
        (estimate,) = cascade.estimates(rows)
        assert estimate.shape == tuple(before.latents.shape[1:])
        assert estimate.dtype == np.float32
        t = before.legs["prior"].lines[step, :1]
        level = schedule.alpha_bar(t)
        again = level.sqrt() * torch.tensor(estimate) + (1 - level).sqrt() * rows[0].seen.predicted
        assert torch.allclose(again, before.latents, atol=1e-4)
    clean = (rows[0].embeddings + cascade._parts.latent_std) / cascade._parts.latent_mean
    # alpha-bar is clamped to 0.9999, so the last step leaves a hundredth of the noise behind.
    assert torch.allclose(torch.tensor(estimate), clean[0], atol=0.05)


def test_estimates_of_large_pictures_are_averaged_down(cascade):
    rows = drawn(cascade, cascade.begin(request(width=512, height=256, prior_steps=1, decoder_steps=1)))
    (estimate,) = cascade.estimates(rows)
    whole = schedule.clean(rows[0].seen.latents, rows[0].seen.predicted, rows[0].seen.t)[0]
    assert tuple(whole.shape[1:]) == (64, 128)
    assert estimate.shape == (4, 32, 64)
    assert np.allclose(estimate[:, 0, 0], whole[:, :2, :2].mean((1, 2)), atol=1e-6)
