"""Tables and images of a checkpoint's card, and sample sheets of the stages that are being trained.

The card's tables and images are made through the Python API: they show what users get.
"""

import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn
from torch.nn import functional

from wuerst_demo.api import Wuerstchen, load_checkpoint
from wuerst_demo.checkpoints.manifest import checkpoint_fingerprint
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.pipeline import latent_to_rgb
from wuerst_demo.pipeline.noise_schedule import predict_clean_latents
from wuerst_demo.pipeline.preview import PreviewRenderer
from wuerst_demo.placement_options import PlacementOptions
from wuerst_demo.request import INTERVAL_FIELDS
from wuerst_demo.training import diffusion
from wuerst_demo.training.config import DEFAULTS, TrainingConfig
from wuerst_demo.training.data.captions import caption
from wuerst_demo.training.data.dataset import LATENT_CHANNELS
from wuerst_demo.training.data.scenes import sample_scene
from wuerst_demo.training.evaluation.classifier import SceneClassifier
from wuerst_demo.training.evaluation.evaluate import (
    CASCADE_COLUMN,
    IMAGE_SIDE_PX,
    METRICS,
    EvaluationPrompt,
    evaluation_prompts,
    generate_images,
    has_all_things,
    make_requests,
    markdown_table,
    measure,
)
from wuerst_demo.training.models import decoder_conditioning

TUNING_SEED = 22
"""Of prompts other than the evaluation's, so that settings chosen with them do not flatter its table."""
SWEEPS = DEFAULTS["report"]  #: Steps and guidance of prior and decoder, and prompts with weights, to be compared.
SAMPLER_COLUMNS = ("sampler", "prior steps", "decoder steps", "prior guidance", "decoder guidance", "from", "to")
SAMPLER_FIELDS = (*(name.replace(" ", "_") for name in SAMPLER_COLUMNS[:5]), *INTERVAL_FIELDS)
CONTACT_SHEET_COLUMNS, WEIGHTS_GRID_SEEDS = 8, 4


def steps_and_guidance_tables(
    model: Wuerstchen, classifier: SceneClassifier, config: TrainingConfig, count: int
) -> str:
    """Two Markdown tables: quality against steps over an eighth of `count` prompts for a single thing, and against
    guidance over a fifth, those for small, big or painted things, which are the hardest."""
    easy, hard = max(1, count // 8), max(1, count // 5)

    def single_thing(count: int) -> list[EvaluationPrompt]:
        return [each for each in evaluation_prompts(config, 12 + count * 6, TUNING_SEED) if each.kind == "one"][:count]

    def table(prompts: Sequence[EvaluationPrompt], setting: str) -> str:
        """A row for each pair of the prior's and the decoder's `setting`."""
        rows = []
        for prior, decoder in SWEEPS[setting]:
            settings = {f"prior_{setting}": prior, f"decoder_{setting}": decoder}
            requests = make_requests(model, [each.prompt for each in prompts], **settings)
            scenes, outputs = [each.scene for each in prompts], classifier.classify(generate_images(model, requests))
            things = fmean(map(has_all_things, scenes, outputs))
            places = fmean(scene.place == output.place for scene, output in zip(scenes, outputs, strict=True))
            rows.append((f"{prior:g}", f"{decoder:g}", f"{things:.0%}", f"{places:.0%}"))
        header = [f"prior {setting}", f"decoder {setting}", "the thing is there", "the right background"]
        return markdown_table(header, rows, text_columns=0)

    items = ((each, each.scene.items[0]) for each in single_thing(hard * 4))
    hardest = [each for each, item in items if item.word or item.colour][:hard]
    return f"{table(single_thing(easy), 'steps')}\n\n{table(hardest, 'guidance')}"


def samplers_table(model: Wuerstchen, classifier: SceneClassifier, config: TrainingConfig, count: int) -> str:
    """A Markdown table of all metrics over about `count` prompts, with a row for each of the samplers to compare."""
    prompts = evaluation_prompts(config, count, TUNING_SEED)
    rows, header = [], [""]
    for values in SWEEPS["samplers"]:
        settings = dict(zip(SAMPLER_FIELDS, values, strict=True))
        images = generate_images(model, make_requests(model, [each.prompt for each in prompts], **settings))
        found = measure(METRICS, prompts, {CASCADE_COLUMN: classifier.classify(images)})
        header = [*SAMPLER_COLUMNS, *(f"{metric.name} ({number})" for metric, number, _ in found)]
        shares = (f"{share:.1%}" for _, _, (share,) in found)
        rows.append((values[0], *(f"{value:g}" for value in values[1:]), *shares))
    return markdown_table(header, rows)


def unseen_captions(config: TrainingConfig, count: int) -> list[str]:
    """`count` captions of scenes that training never showed, combinations that are held back among them."""
    rng = Random(11)
    return [caption(sample_scene(rng, config.known, allow_held_back=True), rng) for _ in range(count)]


def contact_sheet(config: TrainingConfig, model: Wuerstchen, path: Path, count: int = 64) -> None:
    """Writes one image for each of `count` unseen captions, labelled with it, as JPEG."""
    prompts = unseen_captions(config, count)
    images = generate_images(model, make_requests(model, prompts))
    _labelled_grid(images, [prompt[:42] for prompt in prompts], CONTACT_SHEET_COLUMNS, 256).save(path, quality=90)


def weights_grid(model: Wuerstchen, path: Path) -> None:
    """Writes a row of images for each prompt with weights, with the same seeds in each column, as PNG."""
    requests, labels = [], []
    for prompt in SWEEPS["weights"]:
        requests += make_requests(model, [prompt] * WEIGHTS_GRID_SEEDS, weighting=True)
        labels += [prompt, *[""] * (WEIGHTS_GRID_SEEDS - 1)]
    _labelled_grid(generate_images(model, requests), labels, WEIGHTS_GRID_SEEDS, 128).save(path)


def _labelled_grid(images: Sequence[np.ndarray], labels: Sequence[str], columns: int, tile_px: int) -> Image.Image:
    """Images (H, W, 3) as square tiles, row by row, each with a label below it."""
    label_px = 26
    size = columns * tile_px, math.ceil(len(images) / columns) * (tile_px + label_px)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = k % columns * tile_px, k // columns * (tile_px + label_px)
        sheet.paste(Image.fromarray(image).resize((tile_px, tile_px)), (left, top))
        pen.text((left + 4, top + tile_px + 4), label, fill="black", font=font)
    return sheet


def fit_preview_map(checkpoint: Path, count: int = 64) -> None:
    """Fits the checkpoint's map from latents to preview colours to `count` images (a power of two) of its examples, and
    writes it beside the decoder. Has to be repeated whenever the weights change."""
    resolved = resolve_checkpoint(str(checkpoint))
    fingerprint, path = checkpoint_fingerprint(resolved), latent_to_rgb.bundled_map_path(resolved)
    path.unlink(missing_ok=True)  # an existing map would be used as it is
    renderer = PreviewRenderer(fingerprint, path, max_images=count)
    model = load_checkpoint(resolved, PlacementOptions(dtype="float32"), preview_renderer=renderer)
    for k in range(count):
        prompt = model.info.examples[k % len(model.info.examples)] if model.info.examples else "a picture"
        # few decoder steps: the map needs colours, not detail
        model.generate(model.request(prompt=prompt, seed=k, decoder_steps=4))
        sys.stderr.write(f"\rPreview colours: image {k + 1} of {count}")
    sys.stderr.write("\n")


@torch.no_grad()
def save_decoder_samples(
    path: Path, images: Tensor, z: Tensor, text: Tensor, decoder: nn.Module, vqgan: nn.Module
) -> None:
    """Writes three rows: images (B, 3, H, W), the decoder's estimate of them from pure noise, z (B, 16, h, w) and text
    (B, L, D), and its samples of ten steps."""
    torch.manual_seed(0)
    noise = torch.randn(len(z), 4, images.shape[2] // 4, images.shape[3] // 4).to(z.device)
    predict = partial(decoder, effnet=decoder_conditioning(z), clip=text)
    start = torch.ones(len(noise), device=noise.device)
    estimate = predict_clean_latents(noise, predict(noise, start), start)
    latents = (estimate, diffusion.sample(predict, noise, 10))
    save_grid(path, [images, *(vqgan.decode(each).sample for each in latents)])  # type: ignore[operator]


@torch.no_grad()
def save_prior_samples(path: Path, text: Tensor, prior: nn.Module, sketcher: nn.Module) -> None:
    """Writes what `sketcher` makes of the prior's samples, of 20 steps with guidance 4; text (2 B, L, D) with the
    prompts first, then as many empty ones."""

    def predict(x: Tensor, t: Tensor) -> Tensor:
        conditional, unconditional = prior(torch.cat([x, x]), torch.cat([t, t]), text).chunk(2)
        return torch.lerp(unconditional, conditional, 4.0)

    torch.manual_seed(0)
    noise = torch.randn(len(text) // 2, LATENT_CHANNELS, 6, 6).to(text.device)
    sketches = sketcher(diffusion.sample(predict, noise, 20), IMAGE_SIDE_PX, IMAGE_SIDE_PX)
    sketches = functional.interpolate(sketches.float(), scale_factor=2)
    save_grid(path, torch.split(sketches, 8) if len(sketches) % 8 == 0 else [sketches])


def save_grid(path: Path, rows: Sequence[Tensor]) -> None:
    """Writes rows of images (B, 3, H, W) in 0..1 as one PNG."""
    grid = torch.cat([torch.cat(list(row.float().cpu().clamp(0, 1)), -1) for row in rows], -2)
    Image.fromarray((grid.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)
