"""Training of the VQGAN's decoder for clean edges, against a patch discriminator.

Encoder and codebook stay as they are, and with them the latents that Stage B has learned. The VQGAN's decoder goes on
from its weights with two kinds of latents of rendered scenes: the encoder's, with a little noise, and those that Stage
B samples at the default settings, which are softer. A mean error alone answers what latents leave open with a blur; the
discriminator rejects it. Alone, it leaves a faint grid on plain surfaces, whose errors count more for that reason.

Sources: Taming Transformers (VQGAN), Esser et al., arXiv 2012.09841, section 3.1; image gradient loss, Mathieu et al.,
arXiv 1511.05440, section 3.2.
"""

import copy
from collections.abc import Callable
from functools import partial
from random import Random

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from wuerst_demo.training import diffusion, models
from wuerst_demo.training.config import DEFAULTS
from wuerst_demo.training.data.captions import caption
from wuerst_demo.training.data.dataset import Batch
from wuerst_demo.training.evaluation.report import save_grid
from wuerst_demo.training.fast_mixing import use_fast_mixing
from wuerst_demo.training.stages import CROP_PX, TrainingRun, crop_edge_weights
from wuerst_demo.training.tokenizer import english_words
from wuerst_demo.training.trainer import Modules, is_finished, load_ema

LATENT_PX = 4  #: Pixels a side of one position of the latents.
LEARNED_PX = CROP_PX - 16  #: The part of a decoded crop that counts: where it was cut, it lacks what is beside it.
NOISE_STD = 0.05  #: Of the noise in the encoder's latents.
ADVERSARIAL_WEIGHT = 1.2  #: Of the adversarial loss, relative to an equal share of the last layer's gradient.
ADVERSARIAL_FROM = 0.2  #: Share of the stage after which it counts: the discriminator has learned something by then.
PLAIN_WEIGHT = 8.0  #: Of the loss in plain surfaces.
PLAIN_PX = 9  #: Side of the squares without an edge that make a plain surface.
PLAIN_STEP = 0.012  #: Difference of neighbouring pixels, 0..1, from which on there is an edge.
SHEET_IMAGES = 8  #: Images on the sample sheets.


def sample_latents(run: TrainingRun) -> Callable[[Batch], np.ndarray]:
    """A function from scenes to the latents (B, 4, H / 4, W / 4) that Stage B samples for their z and captions, at the
    checkpoint's default number of steps, unguided. Raises SetupError if the decoder has not been trained."""
    config = run.config
    modules = load_ema(config.folder, "decoder", run.decoder_modules())
    if is_finished(config.folder, "distil", config.stages["distil"].steps):
        load_ema(config.folder, "distil", {"decoder": modules["decoder"]})
    steps = DEFAULTS["checkpoint"]["limits"]["decoder_steps"]["default"]

    @torch.no_grad()
    def compute(batch: Batch) -> np.ndarray:
        seed = int(batch.numbers[0])
        rng, generator = Random(seed), torch.Generator().manual_seed(seed)
        captions = [caption(scene, rng, english_words()) for scene in batch.scenes]
        width, height = (side // LATENT_PX for side in batch.size)
        noise = torch.randn(len(captions), 4, height, width, generator=generator).to(run.device)
        z = models.decoder_conditioning(run.vqgan_decoder_loader.derived("z", batch))
        with torch.autocast(run.device.type, run.half, enabled=run.half is not None):
            text = models.encode_text(modules["text"], run.tokenizer, captions)

            def predict(x: Tensor, t: Tensor) -> Tensor:
                epsilon: Tensor = modules["decoder"](x.contiguous(memory_format=torch.channels_last), t, z, text)
                return epsilon.float()

            latents = diffusion.sample(predict, noise, steps, "ddim")
        array: np.ndarray = latents.cpu().half().numpy()
        return array

    return compute


def random_corner(step: int) -> Callable[[Tensor, int], Tensor]:
    """A function that cuts (B, C, side, side) out of one corner of (B, C, H, W). Of latents only corners are of use:
    anywhere else a crop ends with latents that an image's border never has."""
    bottom, right = np.random.default_rng((2, step)).random(2) < 0.5

    def cut(x: Tensor, side: int) -> Tensor:
        rows, columns = (slice(-side, None) if end else slice(side) for end in (bottom, right))
        return x[:, :, rows, columns].contiguous(memory_format=torch.channels_last)

    return cut


def without_grid(images: Tensor) -> Tensor:
    """Images (B, C, h, w) without what repeats every LATENT_PX pixels."""
    return functional.avg_pool2d(functional.pad(images, (1, 2, 1, 2), "replicate"), LATENT_PX, 1)


def plain_surface_loss(fake: Tensor, wanted: Tensor) -> Tensor:
    """Errors of the differences of neighbouring pixels of `fake` (B, C, h, w), where `wanted` (B, C, h, w) has no edge;
    a scalar."""
    found, expected = (
        torch.stack([each.diff(dim=3)[:, :, :-1], each.diff(dim=2)[..., :-1]], -1) for each in (fake, wanted)
    )
    edges = expected.abs().amax((1, 4))
    plain = functional.max_pool2d(edges, PLAIN_PX, 1, PLAIN_PX // 2) < PLAIN_STEP
    errors: Tensor = (found - expected).abs() * plain[:, None, ..., None]
    return errors.mean()


class DecoderTraining:
    """Generator and discriminator, and the loss of both. `modules` are those that learn."""

    def __init__(self, run: TrainingRun) -> None:
        self.run, self.loader = run, run.vqgan_decoder_loader
        torch.manual_seed(4)
        scale = run.config.scale
        discriminator = run.place(models.PatchDiscriminator(scale))
        vqgan = run.place(load_ema(run.config.folder, "vqgan", {"vqgan": models.build_vqgan(scale)})["vqgan"])
        use_fast_mixing(vqgan)
        self.vqgan, self.before, self.discriminator = vqgan, copy.deepcopy(vqgan), discriminator
        self.modules: Modules = {**models.vqgan_decoder_modules(vqgan), "discriminator": discriminator}
        for module in self.modules.values():
            module.train().requires_grad_(True)
        self.last_weight = vqgan.get_parameter("out_block.0.weight")
        self.edge_weights = crop_edge_weights(LEARNED_PX).to(run.device)

    def loss(self, step: int, progress: float) -> Tensor:
        """Loss of generator and discriminator, a scalar: the generator's part has no gradient in the discriminator, nor
        the other way round."""
        config = self.run.config
        batch = self.loader.dataset.sample_batch(config.batch_seed(step), config.stages["vqgan-decoder"].batch)
        corner = random_corner(step)
        real = corner(self.loader.images(batch), LEARNED_PX)
        latents = corner(self.latents(batch), CROP_PX // LATENT_PX)
        fake = corner(self.vqgan.decode(latents).sample.float(), LEARNED_PX)  # type: ignore[operator]
        with torch.no_grad():
            before = self.before.decode(latents[len(real) :]).sample.float()  # type: ignore[operator]
            before = corner(before, LEARNED_PX)
        reconstruction = self.reconstruction_loss(fake, real, before)
        plain = plain_surface_loss(fake, torch.cat([real, without_grid(before)]))
        judged_real, judged_fake = self.discriminator(real), self.discriminator(fake.detach())
        hinge = functional.relu(1 - judged_real.float()).mean() + functional.relu(1 + judged_fake.float()).mean()
        total: Tensor = reconstruction + hinge + PLAIN_WEIGHT * plain
        if progress < ADVERSARIAL_FROM:
            return total
        frozen = {name: each.detach() for name, each in self.discriminator.named_parameters()}
        adversarial: Tensor = -functional_call(self.discriminator, frozen, (fake,)).float().mean()
        return total + self.adversarial_weight(reconstruction, adversarial) * adversarial

    def latents(self, batch: Batch) -> Tensor:
        """Latents (2 B, 4, H / 4, W / 4) of a batch: the encoder's with noise, then Stage B's."""
        encoded, sampled = (self.loader.derived(kind, batch) for kind in ("latents", "samples"))
        return torch.cat([encoded + NOISE_STD * torch.randn_like(encoded), sampled])

    def reconstruction_loss(self, fake: Tensor, real: Tensor, before: Tensor) -> Tensor:
        """Errors of the first half of `fake` (2 B, 3, h, w) against `real` (B, 3, h, w), and of the cell means of the
        second half against those of `before` (B, 3, h, w), what the decoder first made of the same latents; a scalar.
        """
        error = fake[: len(real)] - real
        moved: Tensor = functional.avg_pool2d(fake[len(real) :] - before, LATENT_PX).abs().mean()
        total: Tensor = (self.edge_weights * (error.pow(2) * 4 + error.abs())).mean() + moved
        return total

    def adversarial_weight(self, reconstruction: Tensor, adversarial: Tensor) -> Tensor:
        """The weight with which the last layer's gradient of both losses has the same norm (equation 7), times
        ADVERSARIAL_WEIGHT."""
        losses = reconstruction, adversarial
        gradients = [torch.autograd.grad(loss, self.last_weight, retain_graph=True)[0] for loss in losses]
        wanted, found = (gradient.norm() for gradient in gradients)
        weight: Tensor = ADVERSARIAL_WEIGHT * (wanted / (found + 1e-4)).clamp(max=1e4)
        return weight

    @torch.no_grad()
    def write_samples(self, steps: int, ema: Modules) -> None:
        """Three rows: rendered scenes, what the decoder makes of the encoder's latents, and of Stage B's."""
        loader, size = self.loader, (256, 256)
        batch = Batch(loader.dataset, size, np.arange(min(SHEET_IMAGES, loader.dataset.counts[size])))
        rows = [ema["out_block"](ema["up_blocks"](loader.derived(kind, batch))) for kind in ("latents", "samples")]
        save_grid(self.run.config.folder / f"vqgan-decoder-{steps:06}.png", [loader.images(batch), *rows])


def train_vqgan_decoder(run: TrainingRun) -> None:
    """Trains the VQGAN's decoder; `export` writes its weights. Renders the scenes that it needs, and samples latents.

    Raises SetupError if VQGAN, image encoder or decoder has not been trained.
    """
    training, loader = DecoderTraining(run), run.vqgan_decoder_loader
    untrained = models.ImageEncoder(run.config.scale)
    encoder = run.place(load_ema(run.config.folder, "together", {"encoder": untrained})["encoder"])
    loader.dataset.render()
    loader.derive("latents", lambda images: training.vqgan.encode(images).latents, run.half)  # type: ignore[operator]
    loader.derive("z", partial(models.encode_images, encoder))
    loader.dataset.derive("samples", sample_latents(run))
    run.train_stage("vqgan-decoder", training.modules, training.loss, write_samples=training.write_samples)
