"""The Würstchen cascade, stepped: text embeddings -> prior (Stage C) -> decoder (Stage B) -> VQGAN (Stage A) -> image.

A step takes image states in one network with one latent shape (equal `key`) and returns them advanced. It never changes
its inputs, so a failed step can be repeated with the same result. An image is the same alone and in any batch.

Source: Würstchen, arXiv 2306.00637 (section 3).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from wuerst_demo.devices import device_errors
from wuerst_demo.devices.device_errors import translate_device_errors
from wuerst_demo.devices.hardware import LOCAL_HARDWARE, Hardware
from wuerst_demo.errors import UserError
from wuerst_demo.events import Stage
from wuerst_demo.messages import message
from wuerst_demo.networks.channels_last import channels_last
from wuerst_demo.networks.components import CascadeComponents
from wuerst_demo.networks.text_kv_cache import TextKVCache
from wuerst_demo.pipeline import noise_schedule
from wuerst_demo.pipeline.free_memory import check_free_memory
from wuerst_demo.pipeline.guidance import concatenate, interval_notes, predict_noise
from wuerst_demo.pipeline.image_state import ImageState, Prediction, StageConditioning
from wuerst_demo.pipeline.known_cells import KnownCells
from wuerst_demo.pipeline.noise_generator import NoiseGenerator
from wuerst_demo.pipeline.preview import PreviewRenderer
from wuerst_demo.pipeline.variation import decoder_generator, encode_text, load_start, start_generator
from wuerst_demo.prompts.encoder import EncoderName, PromptEncoder
from wuerst_demo.request import Limits, Request
from wuerst_demo.timesteps import guided_evaluations, timesteps_below

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ESTIMATE_SIDE_LATENTS = 64
"""Latent positions on the longer side of an estimate for the page, so that 8 images of 100 steps stay small."""
MAX_CACHED_TEXT_TOKENS = 308
"""Four chunks of 77 tokens. Keys and values are many times as large as their text, so those of longer texts are
computed at every step instead of being cached."""


class Cascade:
    """The networks and text encoders of a checkpoint, stepped in the caller's thread.

    Every method may raise MemoryError, after which its image states can be used again, and DeviceLost, after which they
    cannot. `prompt_encoder` may be shared with other readers of prompts. `device` is where the networks compute, which
    they do not know under offload; by default the prior's device. `preview_renderer` defaults to one that is fitted to
    the images of this cascade.
    """

    def __init__(
        self,
        components: CascadeComponents,
        limits: Limits,
        prompt_encoder: PromptEncoder | None = None,
        device: str | None = None,
        preview_renderer: PreviewRenderer | None = None,
        hardware: Hardware = LOCAL_HARDWARE,
    ) -> None:
        self.limits = limits
        self._components = components
        self._prompt_encoder = prompt_encoder or PromptEncoder(components)
        self._preview_renderer = preview_renderer or PreviewRenderer()
        self._device = torch.device(device or components.prior.device)
        self._hardware = hardware

    @translate_device_errors
    @torch.inference_mode()
    def begin(self, request: Request) -> list[ImageState]:
        """Encodes the prompts, generates the first noise, and returns one state per image, before its first step.

        Raises PromptError for a prompt that cannot be parsed.
        """
        if request.morph is not None and request.morph.frame is None:
            frames = [self.begin(request.image(k))[0] for k in range(request.images)]
            return [dataclasses.replace(state, index=k) for k, state in enumerate(frames)]
        conditioning: dict[Stage, StageConditioning] = {
            "prior": self._encode_conditioning("prior", request, request.prior_guidance),
            "decoder": self._encode_conditioning("decoder", request, request.decoder_guidance),
        }
        notes = (
            *self._prompt_notes(request, any(any(each.guided) for each in conditioning.values())),
            *interval_notes(request),
        )
        multiple, prior = self._components.scaling.resolution_multiple, self._components.prior
        shape = (prior.config["c_in"], math.ceil(request.height / multiple), math.ceil(request.width / multiple))
        self._preview_renderer.reload()
        states = []
        evaluations = len(conditioning["prior"].coefficients)
        start = load_start(request, shape, self._components.scaling)
        for image in range(request.images):
            alone = request.image(image)
            generator = start_generator(alone)
            latents = self._generate_noise([generator], shape)
            state = ImageState(image, alone, "prior", 0, evaluations, notes, latents, generator, conditioning)
            states.append(state if start is None else self._go_on_from(state, start.to(self._device)))
        return states

    @translate_device_errors
    @torch.inference_mode()
    def step(self, states: Sequence[ImageState]) -> list[ImageState | UserError]:
        """One evaluation of prior or decoder for states of equal `key`; returns them advanced, in their order.

        After the last evaluation of a network a state is at the start of the next stage. A state whose latents are not
        finite any more is replaced by a UserError; the others are unaffected, because samples are not mixed.
        """
        # Guided states first, so that their halves are slices and the device gathers nothing by index.
        order = sorted(range(len(states)), key=lambda i: not states[i].guided)
        advanced, finite = self._step([states[i] for i in order])
        # `tolist` waits for the device, once a step: the step's duration and errors are its own, and what is shown has
        # happened. Running ahead would save the gap before the next step, but waste a step of every image that is
        # cancelled, not finite or short of memory.
        results = dict(zip(order, zip(advanced, finite.tolist(), strict=True), strict=True))
        return [
            state if is_finite else self._non_finite_error(state)
            for state, is_finite in (results[i] for i in range(len(states)))
        ]

    @translate_device_errors
    @torch.inference_mode()
    def decode(self, states: Sequence[ImageState]) -> Tensor:
        """The pixels (n, 3, H, W) of n states of equal `key` in stage "vqgan", nominally 0..1 but not clamped."""
        if self._device.type == "cpu":
            check_free_memory(states, self._components, self._hardware)
        latents = concatenate([state.latents for state in states])
        vqgan = self._components.vqgan
        scaled = (vqgan.config["scale_factor"] * latents).to(self._components.dtype)
        pixels: Tensor = vqgan.decode(channels_last(scaled)).sample
        return pixels

    @translate_device_errors
    @torch.inference_mode()
    def finish(self, states: Sequence[ImageState]) -> list[Image.Image | UserError]:
        """The RGB images of states of equal `key` in stage "vqgan", or a UserError where pixels are not finite."""
        pixels = self.decode(states)
        finite = pixels.isfinite().flatten(1).all(1).tolist()
        # Rounded as in diffusers' numpy_to_pil, but on the device, so that a quarter of the bytes is transferred.
        arrays = pixels.clamp(0, 1).float().mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        scaling = self._components.scaling
        for state, array, is_finite in zip(states, arrays, finite, strict=True):
            if is_finite and self._preview_renderer.learning and state.image_embeddings is not None:
                prior = (state.image_embeddings + scaling.latent_std) / scaling.latent_mean
                self._preview_renderer.learn(prior[0], state.latents[0], array)
        return [
            Image.fromarray(array) if is_finite else self._non_finite_error(state)
            for state, array, is_finite in zip(states, arrays, finite, strict=True)
        ]

    @translate_device_errors
    @torch.inference_mode()
    def estimate_latents(self, states: Sequence[ImageState]) -> list[NDArray[np.float32]]:
        """The clean latents as estimated by each state's last evaluation: (16, h, w) from the prior, (4, h, w) from the
        decoder. Longer sides than MAX_ESTIMATE_SIDE_LATENTS are averaged down by a whole factor."""
        return [_downsample_latents(_estimate_clean_latents([state]))[0].cpu().numpy() for state in states]

    @translate_device_errors
    @torch.inference_mode()
    def render_previews(self, states: Sequence[ImageState]) -> list[bytes | None]:
        """JPEG previews after an evaluation of states of equal `key`; None before the first image of a checkpoint that
        ships no map of preview colors."""
        if not self._preview_renderer.ready or not states:
            return [None] * len(states)
        stage = states[0].prediction.stage if states[0].prediction else states[0].stage
        sizes_px = [(state.request.width, state.request.height) for state in states]
        return [*self._preview_renderer.render(stage, _estimate_clean_latents(states), sizes_px)]

    def empty_cache(self) -> None:
        device_errors.empty_cache(self._device)

    def health_check(self) -> None:
        device_errors.health_check(self._device)

    def _prompt_notes(self, request: Request, guided: bool) -> tuple[str, ...]:
        """Notes for the user about how both prompts were read."""
        notes = self._prompt_encoder.read(request.prompt, request.weighting).notes
        if guided:
            negative_notes = self._prompt_encoder.read(request.negative_prompt, request.weighting).notes
            return (*notes, *(message("Negative prompt: {said}", said=note) for note in negative_notes))
        if request.negative_prompt:
            return (*notes, "The negative prompt has no effect, because no step is guided.")
        return notes

    def _encode_conditioning(self, network: EncoderName, request: Request, guidance: float) -> StageConditioning:
        guided = guided_evaluations(request, network)
        embeddings = encode_text(self._prompt_encoder, network, request, any(guided))
        if network == "prior":
            times = noise_schedule.timesteps(request.prior_schedule, request.prior_steps)
            if source := request.morph or request.variation:
                times = timesteps_below(times, source.level)
        else:
            times = noise_schedule.timesteps("linear", request.decoder_steps)
        negative_text, dtype = embeddings.negative_text, self._components.dtype
        return StageConditioning(
            text=embeddings.text.to(self._device, dtype),
            negative_text=None if negative_text is None else negative_text.to(self._device, dtype),
            guidance=None if negative_text is None else torch.tensor([guidance], device=self._device),
            guided=guided,
            coefficients=noise_schedule.step_coefficients(times, request.sampler).to(self._device),
        )

    def _generate_noise(self, generators: Sequence[NoiseGenerator | None], shape: Sequence[int]) -> Tensor:
        """Standard normal noise (n, *shape), float32, each image's from its own CPU generator: the same on every device
        and for every dtype of the networks. Zeros without a generator."""
        noise = torch.empty((len(generators), *shape), dtype=torch.float32, pin_memory=self._device.type == "cuda")
        for sample, generator in zip(noise, generators, strict=True):
            sample.zero_() if generator is None else generator.fill(sample)
        # Without pinned memory an asynchronous copy may read reused memory: github.com/pytorch/pytorch/issues/139550
        return noise.to(self._device, non_blocking=noise.is_pinned())

    def _step(self, states: Sequence[ImageState]) -> tuple[list[ImageState], Tensor]:
        """`step` for states with the guided ones first; also whether each one's latents are finite, bool (n,)."""
        stage = states[0].stage
        if self._device.type == "cpu":
            check_free_memory(states, self._components, self._hardware)
        conditioning = self._cache_text(stage, [state.conditioning[stage] for state in states])
        x_t = concatenate([state.latents for state in states])
        coefficients = torch.stack(
            [each.coefficients[state.step] for state, each in zip(states, conditioning, strict=True)]
        )
        epsilon = predict_noise(self._components, states, conditioning, x_t, coefficients[:, 0])
        # The next noise is generated while the device computes. Copied generators leave the input states unchanged.
        generators = [state.generator.clone() for state in states]
        adds_noise = [state.request.sampler == "ddpm" for state in states]
        drawing = [each if adds else None for each, adds in zip(generators, adds_noise, strict=True)]
        z = self._generate_noise(drawing, x_t.shape[1:])
        latents = noise_schedule.denoising_step(x_t, epsilon, coefficients, z)
        advanced = [
            self._advance(
                dataclasses.replace(
                    state,
                    generator=generators[i],
                    prediction=Prediction(stage, x_t[i : i + 1], epsilon[i : i + 1], coefficients[i : i + 1, 0]),
                    conditioning={**state.conditioning, stage: conditioning[i]},
                ),
                latents[i : i + 1],
            )
            for i, state in enumerate(states)
        ]
        return advanced, latents.isfinite().flatten(1).all(1)

    def _cache_text(self, stage: Stage, conditioning: Sequence[StageConditioning]) -> list[StageConditioning]:
        """The conditioning with keys and values in place of new, short texts, where the network has a text KV cache."""
        network: object = self._components.prior if stage == "prior" else self._components.decoder
        short = [each for each in conditioning if each.text.dim() == 3 and each.text.shape[1] <= MAX_CACHED_TEXT_TOKENS]
        new = list({id(each): each for each in short}.values())
        if not new or not isinstance(network, TextKVCache):
            return list(conditioning)
        texts = [text for each in new for text in (each.text, each.negative_text) if text is not None]
        # Copies: a view would keep the memory of the whole batch alive.
        cached = iter([each.clone() for each in torch.split(network.compute_text_kv(concatenate(texts)), 1)])
        done = {
            id(each): dataclasses.replace(
                each, text=next(cached), negative_text=None if each.negative_text is None else next(cached)
            )
            for each in new
        }
        return [done.get(id(each), each) for each in conditioning]

    def _advance(self, state: ImageState, latents: Tensor) -> ImageState:
        """The state one evaluation further, with latents (1, C, h, w); after a network's last, in the next stage."""
        known = state.known
        if state.step + 1 < state.total_steps:
            if known:
                t = state.conditioning[state.stage].coefficients[state.step + 1, 0]
                latents = known.restore_latents(latents, t)
            return dataclasses.replace(state, step=state.step + 1, latents=latents)
        if state.stage == "decoder":
            return dataclasses.replace(state, stage="vqgan", step=0, total_steps=1, latents=latents, conditioning={})
        scaling = self._components.scaling
        image_embeddings = latents * scaling.latent_mean - scaling.latent_std
        return self._begin_decoder(
            state, known.restore_image_embeddings(image_embeddings) if known else image_embeddings
        )

    def _begin_decoder(self, state: ImageState, image_embeddings: Tensor) -> ImageState:
        """The state at the start of the decoder, with the prior's result (1, 16, h, w)."""
        scaling, decoder = self._components.scaling, self._components.decoder
        height, width = (int(side * scaling.latent_dim_scale) for side in image_embeddings.shape[2:])
        generator, shape = decoder_generator(state), (decoder.config["c_in"], height, width)
        return dataclasses.replace(
            state,
            stage="decoder",
            step=0,
            total_steps=state.request.decoder_steps,
            conditioning={"decoder": state.conditioning["decoder"]},
            generator=generator,
            latents=self._generate_noise([generator], shape),
            image_embeddings=image_embeddings.to(self._components.dtype),
            known=None,
        )

    def _go_on_from(self, state: ImageState, image_embeddings: Tensor) -> ImageState:
        """A new state with noise as latents, changed to go on from these image embeddings (1, 16, h, w)."""
        variation, scaling = state.request.variation, self._components.scaling
        source = state.request.morph or variation
        assert source is not None
        if source.level == 0:
            return self._begin_decoder(state, image_embeddings)
        clean = (image_embeddings + scaling.latent_std) / scaling.latent_mean
        noise, mask = state.latents, variation.mask if variation else ""
        return dataclasses.replace(
            state,
            latents=noise_schedule.add_noise(clean, noise, source.level),
            known=KnownCells.of_mask(mask, image_embeddings, clean, noise) if mask else None,
        )

    def _non_finite_error(self, state: ImageState) -> UserError:
        """The error of an image with NaN or infinite values."""
        k = state.index + 1
        if self._components.dtype == torch.float32:
            return UserError(
                "Picture {number} has values that are not finite; lower the guidance or the prompt weights.", number=k
            )
        return UserError(
            "Picture {number} has values that are not finite in this data type; give --dtype float32.", number=k
        )


def _estimate_clean_latents(states: Sequence[ImageState]) -> Tensor:
    """The clean latents (n, C, h, w), float32, as estimated by each state's last evaluation."""
    predictions = [state.prediction for state in states if state.prediction is not None]
    return noise_schedule.predict_clean_latents(
        concatenate([each.latents for each in predictions]),
        concatenate([each.noise for each in predictions]),
        concatenate([each.t for each in predictions]),
    )


def _downsample_latents(latents: Tensor) -> Tensor:
    """(n, C, h, w) averaged down by a whole factor until no side exceeds MAX_ESTIMATE_SIDE_LATENTS."""
    factor = math.ceil(max(latents.shape[2:]) / MAX_ESTIMATE_SIDE_LATENTS)
    return latents if factor == 1 else torch.nn.functional.avg_pool2d(latents, factor, ceil_mode=True)
