"""Guidance distillation: the decoder learns to predict, without guidance, what it predicts with it.

The student starts at the teacher's weights and learns from its guided predictions at noisy latents of rendered scenes.
Some rows keep the teacher's own predictions with a text alone or with nothing, so that guidance above 1 and negative
prompts still work. The text encoder stays as it is, and so does the prior: few steps do as well without its guidance.

Source: On Distillation of Guided Diffusion Models, Meng et al., arXiv 2210.03142, sections 3.1 and 3.2, for one scale
of guidance, with both rounds at once: a step of the student is SUBSTEPS of the teacher.
"""

import copy
from collections.abc import Callable
from functools import partial
from random import Random

import torch
from torch import Tensor

from wuerst_demo.pipeline.noise_schedule import alpha_bar, predict_clean_latents
from wuerst_demo.training import diffusion, models
from wuerst_demo.training.data.captions import caption
from wuerst_demo.training.stages import SHORT_CAPTION_TOKENS, TrainingRun
from wuerst_demo.training.tokenizer import english_words
from wuerst_demo.training.trainer import load_ema

GUIDANCE, GUIDED_UNTIL = 3.0, 0.7
"""The teacher's guidance, and the time from which on it has it. In the first steps it is what few steps suffer from."""
STEP, SUBSTEPS = 1 / 3, 2
"""Length of a step of the student, and how many steps of the teacher it learns to make."""
PLAIN_SHARE = 0.25  #: Share of rows that keep the teacher's own predictions: half of them without a text.
GRID_SHARE, GRID_STEPS = 0.6, (2, 3, 3, 3, 4, 5)
"""Share of timesteps from the schedules of so many sampling steps; the others are spread over 0..1."""
Predict = Callable[[Tensor, Tensor], Tensor]
"""The noise (B, C, H, W) in latents (B, C, H, W) at times (B,)."""


def sample_grid_timesteps(count: int, generator: torch.Generator) -> Tensor:
    """Timesteps t (count,) in 0..1: GRID_SHARE of them from the schedules of GRID_STEPS."""
    spread = diffusion.sample_timesteps(count, generator)
    steps = torch.tensor(GRID_STEPS)[torch.randint(len(GRID_STEPS), (count,), generator=generator)]
    grid = (torch.rand(count, generator=generator) * steps).floor().add(1) / steps
    return torch.where(torch.rand(count, generator=generator) < GRID_SHARE, grid, spread)


@torch.no_grad()
def clean_latents_after(predict: Predict, noisy: Tensor, t: Tensor, length: float, substeps: int) -> Tensor:
    """The clean latents (B, C, H, W) with which one DDIM step from `noisy` at t (B,) to t - `length`, or to 0, ends
    where `substeps` equal ones with `predict` do."""
    step = t.clamp(max=length)
    x, signal, noise = noisy, *_shares(t)
    for k in range(substeps):
        now = t - step * (k / substeps)
        epsilon = predict(x, now).float()
        clean = predict_clean_latents(x, epsilon, now)
        signal_next, noise_next = _shares(t - step * ((k + 1) / substeps))
        x = signal_next * clean + noise_next * epsilon
    ratio = noise_next / noise
    result: Tensor = (x - ratio * noisy) / (signal_next - ratio * signal)
    return result


def _shares(t: Tensor) -> tuple[Tensor, Tensor]:
    """What clean latents and noise are multiplied with at t (B,), both (B, 1, 1, 1); at t = 0, 1 and 0."""
    signal = alpha_bar(t).where(t > 1e-6, 1.0).view(-1, 1, 1, 1)
    return signal.sqrt(), (1 - signal).sqrt()


class Distillation:
    """The teacher's targets and the student's loss. `decoder` is both at first."""

    def __init__(self, run: TrainingRun) -> None:
        self.run, self.loader = run, run.distil_loader
        modules = load_ema(run.config.folder, "decoder", run.decoder_modules())
        self.student, self.text_encoder = modules["decoder"], modules["text"]
        self.teacher = copy.deepcopy(self.student)
        self.student.train().requires_grad_(True)
        self.nothing = self._encode_text([""])

    @torch.no_grad()
    def _encode_text(self, captions: list[str]) -> Tensor:
        return models.encode_text(self.text_encoder, self.run.tokenizer, captions, SHORT_CAPTION_TOKENS)

    def teach(self, z: Tensor, text: Tensor, plain: Tensor) -> Predict:
        """The teacher's prediction for z (B, 16, h, w) and text (B, L, D), guided from GUIDED_UNTIL on except in rows
        that are `plain` (B,)."""

        @torch.no_grad()
        def predict(x: Tensor, t: Tensor) -> Tensor:
            guided = (~plain & (t < GUIDED_UNTIL)).nonzero().flatten()
            x_all = torch.cat([x, x[guided]]).contiguous(memory_format=torch.channels_last)
            z_all = torch.cat([z, torch.zeros_like(z[guided])])
            text_all = torch.cat([text, self.nothing.expand(len(guided), -1, -1)])
            both: Tensor = self.teacher(x_all, torch.cat([t, t[guided]]), z_all, text_all).float()
            epsilon, without = both[: len(x)], both[len(x) :]
            return epsilon.index_copy(0, guided, torch.lerp(without, epsilon[guided], GUIDANCE))

        return predict

    def loss(self, step: int, progress: float) -> Tensor:
        run, seed = self.run, self.run.config.batch_seed(step)
        batch = self.loader.dataset.sample_batch(seed, run.config.stages["distil"].batch)
        rng = Random(seed)
        draws = [rng.random() for _ in batch.scenes]
        captions = [caption(scene, rng, english_words()) for scene in batch.scenes]
        given = [text if draw >= PLAIN_SHARE / 2 else "" for text, draw in zip(captions, draws, strict=True)]
        text = self._encode_text(given)
        plain = torch.tensor(draws, device=run.device) < PLAIN_SHARE
        z = diffusion.augment_conditioning(self.loader.derived("z", batch), 0.3)  # as uncertain as a small prior's
        z = models.decoder_conditioning(z) * ~plain.view(-1, 1, 1, 1)
        clean = self.loader.derived("latents", batch)
        t = sample_grid_timesteps(len(clean), torch.default_generator).to(run.device)
        noisy = diffusion.add_noise(clean, torch.randn_like(clean), t).contiguous(memory_format=torch.channels_last)
        target = clean_latents_after(self.teach(z, text, plain), noisy, t, STEP, SUBSTEPS)
        a, b = self.student(noisy, t, z, text, return_noise=False)
        return diffusion.noise_parts_loss(a, b, target, t)


def distil(run: TrainingRun) -> None:
    """Trains the student; `export` writes its weights in place of the decoder's. Renders the scenes that it needs.

    Raises SetupError if the decoder has not been trained.
    """
    distillation, config = Distillation(run), run.config
    vqgan = load_ema(config.folder, "vqgan", {"vqgan": run.place(models.build_vqgan(config.scale))})["vqgan"]
    encoder = run.place(load_ema(config.folder, "together", {"encoder": models.ImageEncoder(config.scale)})["encoder"])
    run.distil_loader.dataset.render()
    run.distil_loader.derive("latents", lambda images: vqgan.encode(images).latents, run.half)  # type: ignore[operator]
    run.distil_loader.derive("z", partial(models.encode_images, encoder))
    run.train_stage("distil", {"decoder": distillation.student}, distillation.loss)
