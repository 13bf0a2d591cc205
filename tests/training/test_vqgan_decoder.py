"""Training of the VQGAN's decoder: its latents, its losses, and that an export has it."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from wuerst_demo.training import models
from wuerst_demo.training.__main__ import main
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.data.captions import caption
from wuerst_demo.training.data.dataset import Batch
from wuerst_demo.training.distil import clean_latents_after
from wuerst_demo.training.stages import CROP_PX, TrainingRun
from wuerst_demo.training.tokenizer import english_words
from wuerst_demo.training.trainer import load_ema, load_ema_weights
from wuerst_demo.training.vqgan_decoder import (
    ADVERSARIAL_FROM,
    ADVERSARIAL_WEIGHT,
    LATENT_PX,
    LEARNED_PX,
    PLAIN_PX,
    DecoderTraining,
    plain_surface_loss,
    random_corner,
    sample_latents,
    without_grid,
)

SIZE = 256, 256


@pytest.fixture(scope="module")
def learned(trained: Path, tmp_path_factory, small_options) -> Path:
    """The folder of a run that has adopted the exported checkpoint, trained its VQGAN's decoder and exported it."""
    folder = tmp_path_factory.mktemp("learned")
    assert main(["adopt", *small_options, "--folder", str(folder), "--export", str(trained / "cocktail")]) == 0
    options = [*small_options, "--folder", str(folder), "--export", str(folder / "cocktail")]
    assert main(["vqgan-decoder", "export", *options]) == 0
    return folder


@pytest.fixture(scope="module")
def run(learned: Path) -> TrainingRun:
    config = TrainingConfig(learned, scale=1, things=4).scaled(0.002, 1)
    return TrainingRun(config, torch.device("cpu"), None)


def test_the_discriminator_judges_patches_of_26_pixels():
    discriminator = models.PatchDiscriminator(1)
    image = torch.randn(1, 3, 64, 64).requires_grad_()
    logits = discriminator(image)
    logits[0, 0, 4, 5].backward()
    seen = image.grad.abs().sum((0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [26, 26]


def test_the_discriminator_cannot_tell_where_an_image_ends():
    logits = models.PatchDiscriminator(1)(torch.full((1, 3, 64, 64), 0.7))
    torch.testing.assert_close(logits, logits[:, :, 4:5, 4:5].expand_as(logits))


@pytest.mark.slow
def test_an_export_has_the_new_decoder_and_the_same_latents(trained: Path, learned: Path):
    state, changed = load_ema_weights(learned, "vqgan-decoder"), set()
    for path in (learned / "cocktail").rglob("*.safetensors"):
        name = path.relative_to(learned / "cocktail")
        new, old = load_file(path), load_file(trained / "cocktail" / name)
        changed |= {(str(name.parent), key.split(".")[0]) for key in new if not torch.equal(new[key], old[key])}
    assert changed == {("wuerstchen/vqgan", "up_blocks"), ("wuerstchen/vqgan", "out_block")}
    exported = load_file(next((learned / "cocktail" / "wuerstchen" / "vqgan").glob("*.safetensors")))
    assert torch.equal(exported["out_block.0.weight"], state["out_block"]["0.weight"].half())


@pytest.mark.slow
def test_latents_are_sampled_as_by_default_for_the_scenes_caption_and_z(run: TrainingRun):
    """Compared with the DDIM of guidance distillation."""
    batch = Batch(run.vqgan_decoder_loader.dataset, SIZE, np.array([2, 5]))
    modules = load_ema(run.config.folder, "decoder", run.decoder_modules())
    rng, noise = Random(2), torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        captions = [caption(scene, rng, english_words()) for scene in batch.scenes]
        text = models.encode_text(modules["text"], run.tokenizer, captions)
        z = models.decoder_conditioning(run.vqgan_decoder_loader.derived("z", batch))
        expected = clean_latents_after(lambda x, t: modules["decoder"](x, t, z, text), noise, torch.ones(2), 1.0, 3)
    found = torch.from_numpy(sample_latents(run)(batch)).float()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_the_adversarial_gradient_is_a_fixed_share_of_the_reconstructions(run: TrainingRun):
    training = DecoderTraining(run)
    side = LEARNED_PX // LATENT_PX
    fake = training.vqgan.decode(torch.randn(2, 4, side, side)).sample
    reconstruction = training.reconstruction_loss(fake, *torch.rand(2, 1, 3, LEARNED_PX, LEARNED_PX))
    losses = reconstruction, -training.discriminator(fake).mean()
    weight = training.adversarial_weight(*losses).detach()
    norms = [torch.autograd.grad(loss, training.last_weight, retain_graph=True)[0].norm() for loss in losses]
    assert (weight * norms[1] / norms[0]).item() == pytest.approx(ADVERSARIAL_WEIGHT, rel=0.05)


@pytest.mark.slow
def test_sampled_latents_keep_their_colours_and_may_get_other_edges(run: TrainingRun):
    training, (real, before) = DecoderTraining(run), torch.rand(2, 1, 3, LEARNED_PX, LEARNED_PX)
    edges = torch.tensor([-0.5, 0.5, 0.5, -0.5]).repeat(LEARNED_PX // 4)
    unchanged, sharper, brighter, other = (
        training.reconstruction_loss(torch.cat(pair), real, before).item()
        for pair in ((real, before), (real, before + edges), (real, before + 0.1), (real + 0.1, before))
    )
    assert unchanged == pytest.approx(0, abs=1e-5)
    assert sharper == pytest.approx(0, abs=1e-5)
    assert brighter == pytest.approx(0.1, rel=1e-3)
    assert other == pytest.approx(0.1 + 4 * 0.1**2, rel=1e-3)


def test_a_grid_counts_in_plain_surfaces_alone():
    grid = 0.1 * torch.tensor([0.0, 0, 1, 1]).repeat(8).expand(1, 3, 32, 32)
    sky = torch.linspace(0, 0.2, 32).expand(1, 3, 32, 32)
    assert plain_surface_loss(sky, sky) == 0
    assert plain_surface_loss(sky + grid, sky).item() == pytest.approx(
        0.1 / 4, rel=0.1
    )  # every other step, to the right
    edge = sky + (torch.arange(32) >= 16).float()
    kept = plain_surface_loss(edge + grid, edge) / plain_surface_loss(sky + grid, sky)
    assert kept.item() == pytest.approx(1 - PLAIN_PX / 31, abs=0.05)  # up to half a square beside the edge, none
    torch.testing.assert_close(without_grid(sky + grid)[..., 4:-4], sky[..., 4:-4] + 0.05, atol=0.01, rtol=0)


def gradients(modules: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Module name -> its gradients, one vector; they are removed."""
    found = {}
    for name, module in modules.items():
        found[name] = torch.cat([p.grad.flatten() for p in module.parameters()])
        module.zero_grad()
    return found


@pytest.mark.slow
def test_the_discriminator_changes_the_decoder_only_once_it_counts(run: TrainingRun):
    """The decoder's loss has no part in the discriminator's gradient: else it would help to deceive itself."""
    training, found = DecoderTraining(run), []
    for progress in (0.0, ADVERSARIAL_FROM):
        torch.manual_seed(0)
        training.loss(0, progress).backward()
        found.append(gradients(training.modules))
    early, late = found
    assert early["discriminator"].norm() > 0
    torch.testing.assert_close(late["discriminator"], early["discriminator"])
    for name in ("up_blocks", "out_block"):
        assert early[name].norm() > 0
        assert (late[name] - early[name]).norm() > 0.01 * early[name].norm()


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_corners_of_images_and_latents_show_the_same_place_at_their_borders(size):
    rows, columns = torch.meshgrid(*(torch.arange(float(side)) for side in size), indexing="ij")
    latents = torch.stack([rows, columns])[None]
    images = latents.repeat_interleave(LATENT_PX, 2).repeat_interleave(LATENT_PX, 3)
    seen = set()
    for step in range(20):
        corner = random_corner(step)
        crop, decoded = corner(latents, CROP_PX // LATENT_PX), corner(images, CROP_PX)
        torch.testing.assert_close(decoded[:, :, ::LATENT_PX, ::LATENT_PX], crop)
        torch.testing.assert_close(corner(decoded, LEARNED_PX), corner(images, LEARNED_PX))
        assert decoded.shape == (1, 2, CROP_PX, CROP_PX)
        edges = [{crop[0, k].min().item() == 0, crop[0, k].max().item() == size[k] - 1} for k in (0, 1)]
        assert edges == [{True, False}] * 2
        seen.add((crop[0, 0].min().item(), crop[0, 1].min().item()))
    assert len(seen) == 4
