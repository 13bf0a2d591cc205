"""Evaluation of a checkpoint: how often the scene classifier finds in generated images what the prompts describe.

Each prompt describes a scene that training never showed, with its own seed. Two more columns put the numbers into
perspective: the same scenes rendered, as the upper bound that the classifier allows, and images by the decoder from the
z of those rendered images, which shows whether prior or decoder is at fault. What the classifier cannot see, sharpness
and variety, has a table of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from random import Random
from statistics import fmean
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from wuerst_demo.api import Wuerstchen
from wuerst_demo.errors import UserError
from wuerst_demo.request import Request
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.data.captions import CaptionOptions, caption
from wuerst_demo.training.data.render import render
from wuerst_demo.training.data.scenes import Item, Kind, Scene, is_held_back, is_pair_held_back, sample_scene
from wuerst_demo.training.evaluation.classifier import ClassifierOutput, SceneClassifier
from wuerst_demo.training.evaluation.image_measures import sharpness, variety
from wuerst_demo.training.models import decoder_conditioning, encode_images

T = TypeVar("T")
Outputs = Mapping[str, Sequence[ClassifierOutput]]
"""Origin of the images -> what the classifier found in each; rendered scenes last."""
IMAGE_SIDE_PX = 256
BATCH_SIZE = 16  #: Images per forward pass.
VARIETY_EVERY = 5  #: One in so many prompts gets an image with a second seed.
MIN_CLASSIFIER_ACCURACY = 0.98
"""Metrics on which the classifier itself is worse, on rendered images, are listed below the table."""
CASCADE_COLUMN, DECODER_COLUMN, REFERENCE_COLUMN = "checkpoint", "decoder alone, given the image's z", "rendered scene"
PROMPT_KINDS: dict[str, tuple[int, Kind | None]] = {
    "one": (150, "one"),
    "two": (120, "pair"),
    "style": (80, "one"),
    "new": (100, None),
    "reworded": (100, "one"),
}
"""Kind of prompts -> how many of 550, and the kind of their scenes."""


@dataclass(frozen=True)
class EvaluationPrompt:
    """A prompt and the scene that it describes."""

    prompt: str
    scene: Scene
    kind: str  #: A key of PROMPT_KINDS.


def has_all_things(scene: Scene, output: ClassifierOutput) -> bool:
    """Whether every thing of the scene is present."""
    return all(item.thing.name in output.things for item in scene.items)


def _has_right_order(scene: Scene, output: ClassifierOutput) -> bool:
    if not has_all_things(scene, output):
        return False
    positions = [output.things[item.thing.name][scene.column] for item in scene.items]
    return all(one < other for one, other in pairwise(positions))


@dataclass(frozen=True)
class Metric:
    """A row of a table: how often `holds` is true."""

    name: str
    target: float  #: Share to reach, 0..1.
    kinds: tuple[str, ...]  #: Kinds of prompts that it is measured on.
    holds: Callable[[Scene, ClassifierOutput], bool] = has_all_things
    applies: Callable[[Item], bool] = lambda item: True  #: Whether it is measured on scenes with such a first thing.


METRICS = (
    Metric("the named thing is there, one-thing prompts", 0.95, ("one",)),
    Metric("both named things are there, two-thing prompts", 0.85, ("two",)),
    Metric("on the right side (left, right, above, below)", 0.85, ("two",), _has_right_order),
    Metric("the right background", 0.95, ("one", "two"), lambda scene, output: output.place == scene.place),
    Metric("the right time or weather", 0.95, ("one", "two"), lambda scene, output: output.time == scene.time),
    Metric("the right style", 0.9, ("style",), lambda scene, output: output.style == scene.style),
    Metric("combinations never seen in training: things right", 0.8, ("new",)),
    Metric("synonyms and reworded captions: thing right", 0.9, ("reworded",)),
)
_APPEARANCES: dict[str, Callable[[Item], bool]] = {
    "small, in its own colours": lambda item: item.word == "small" and not item.colour,
    "of ordinary size, in its own colours": lambda item: not item.word and not item.colour,
    "big, in its own colours": lambda item: item.word == "big" and not item.colour,
    "in a colour of the list, whatever its size": lambda item: bool(item.colour),
}
APPEARANCES = tuple(Metric(name, 0.9, ("one", "reworded"), applies=fits) for name, fits in _APPEARANCES.items())
"""Appearances of a single thing in no style; exactly one applies to each."""


def evaluation_prompts(config: TrainingConfig, count: int, seed: int = 21) -> list[EvaluationPrompt]:
    """About `count` prompts, always the same ones; none for two things if all pairs are held back."""
    has_pairs = any(not is_pair_held_back(*pair) for pair in combinations(config.known, 2))
    total = sum(share for share, _ in PROMPT_KINDS.values())
    prompts: list[EvaluationPrompt] = []
    for kind, (share, scene_kind) in PROMPT_KINDS.items():
        rng, new, wanted = Random(f"{kind}-{seed}"), kind == "new", len(prompts) + round(count * share / total)
        options = CaptionOptions(sides=kind == "two", second_names=kind == "reworded")
        while len(prompts) < wanted and (has_pairs or scene_kind != "pair"):
            scene = sample_scene(rng, config.known, allow_held_back=new, kind=scene_kind)
            fits = scene_kind in (None, scene.kind) and is_held_back(scene) == new
            fits = fits and (new or bool(scene.style) == (kind == "style"))
            if fits and (kind != "reworded" or all(len(item.thing.names) > 1 for item in scene.items)):
                prompts.append(EvaluationPrompt(caption(scene, rng, options=options), scene, kind))
    return prompts


def make_requests(model: Wuerstchen, prompts: Sequence[str], **settings: object) -> list[Request]:
    """One request for each prompt, of one square image, with the prompt's number as its seed."""
    shared = {"width": IMAGE_SIDE_PX, "height": IMAGE_SIDE_PX, "weighting": False, **settings}
    return [model.request(prompt=prompt, seed=seed, **shared) for seed, prompt in enumerate(prompts)]


def generate_images(model: Wuerstchen, requests: Sequence[Request], z: Sequence[Tensor] = ()) -> list[np.ndarray]:
    """Images (H, W, 3), uint8, of requests of one image each. With `z`, (1, 16, h, w) each, the decoder is given those
    instead of the prior's. Raises UserError like `Wuerstchen.generate`."""
    images: list[np.ndarray] = []
    for start in range(0, len(requests), BATCH_SIZE):
        states = [state for request in requests[start : start + BATCH_SIZE] for state in model.cascade.begin(request)]
        while states[0].stage != "vqgan":
            states = _raise_errors(model.cascade.step(states))
            if z and (states[0].stage, states[0].step) == ("decoder", 0):
                given = [decoder_conditioning(each).to(states[0].latents) for each in z[start : start + BATCH_SIZE]]
                states = [replace(s, image_embeddings=each) for s, each in zip(states, given, strict=True)]
        images += map(np.asarray, _raise_errors(model.cascade.finish(states)))
    return images


def _raise_errors(results: Iterable[T | UserError]) -> list[T]:
    good = []
    for result in results:
        if isinstance(result, UserError):
            raise result
        good.append(result)
    return good


def evaluate(
    model: Wuerstchen,
    classifier: SceneClassifier,
    config: TrainingConfig,
    count: int = 550,
    encoder: nn.Module | None = None,
) -> str:
    """Three Markdown tables over about `count` prompts: all metrics, single things by their appearance, and sharpness
    and variety. The column of the decoder alone needs the checkpoint's image encoder, on the CPU."""
    prompts = evaluation_prompts(config, count)
    requests = make_requests(model, [each.prompt for each in prompts])
    rendered = [np.asarray(render(each.scene, IMAGE_SIDE_PX, IMAGE_SIDE_PX)) for each in prompts]
    images = {CASCADE_COLUMN: generate_images(model, requests)}
    if encoder is not None:
        short = [replace(request, prior_steps=1) for request in requests]
        images[DECODER_COLUMN] = generate_images(model, short, [_encode_image(encoder, image) for image in rendered])
    images[REFERENCE_COLUMN] = rendered
    outputs = {column: classifier.classify(found) for column, found in images.items()}
    again = [replace(request, seed=request.seed + len(requests)) for request in requests[::VARIETY_EVERY]]
    redrawn = (replace(each.scene, detail=each.scene.detail + 1) for each in prompts[::VARIETY_EVERY])
    pairs = {CASCADE_COLUMN: generate_images(model, again)}
    pairs[REFERENCE_COLUMN] = [np.asarray(render(scene, IMAGE_SIDE_PX, IMAGE_SIDE_PX)) for scene in redrawn]
    tables = metric_table(prompts, outputs), appearance_table(prompts, outputs), image_table(images, pairs)
    return "\n\n".join(tables)


@torch.no_grad()
def _encode_image(encoder: nn.Module, image: np.ndarray) -> Tensor:
    """z (1, 16, h, w) of an image (H, W, 3)."""
    return encode_images(encoder, torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255)


def metric_table(prompts: Sequence[EvaluationPrompt], outputs: Outputs) -> str:
    """A Markdown row for each metric and a column for each origin of images, and below it the metrics on which the
    classifier itself is unreliable."""
    results = measure(METRICS, prompts, outputs)
    rows = [[metric.name, count, f"{metric.target:.0%}", *shares] for metric, count, shares in results]
    table = markdown_table(["measure", "prompts", "at least", *outputs], rows)
    unreliable = "; ".join(metric.name for metric, _, shares in results if shares[-1] < MIN_CLASSIFIER_ACCURACY)
    note = f"The classifier itself is right less than {MIN_CLASSIFIER_ACCURACY:.0%} of the time about: "
    return f"{table}\n\n{note}{unreliable}." if unreliable else table


def appearance_table(prompts: Sequence[EvaluationPrompt], outputs: Outputs) -> str:
    """How often single things are present, by their appearance: a Markdown row for each of APPEARANCES that occurs."""
    rows = [[metric.name, count, *shares] for metric, count, shares in measure(APPEARANCES, prompts, outputs)]
    return markdown_table(["a thing alone", "prompts", *outputs], rows)


def image_table(images: Mapping[str, Sequence[np.ndarray]], pairs: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Sharpness of `images` by their origin, and variety: how different every VARIETY_EVERY-th of them is from its
    counterpart in `pairs`, with another seed or, where it is rendered, another background of the same kind."""
    results = {column: sharpness(found, images[REFERENCE_COLUMN]) for column, found in images.items()}
    sharp = [share for share, _ in results.values()]
    varied = [variety(images[c][::VARIETY_EVERY], pairs[c]) if c in pairs else "" for c in images]
    rows: list[list[object]] = [
        ["sharpness: edges, relative to the rendered scenes'", results[REFERENCE_COLUMN][1], *sharp],
        ["variety: difference between two seeds", len(pairs[REFERENCE_COLUMN]), *varied],
    ]
    return markdown_table(["measure", "prompts", *images], rows)


def measure(
    metrics: Iterable[Metric], prompts: Sequence[EvaluationPrompt], outputs: Outputs
) -> list[tuple[Metric, int, list[float]]]:
    """Each metric that some prompts are for, their number, and the share for which it holds, by origin of images."""
    results = []
    for metric in metrics:
        numbers = [k for k, p in enumerate(prompts) if p.kind in metric.kinds and metric.applies(p.scene.items[0])]
        if numbers:
            shares = [fmean(metric.holds(prompts[k].scene, found[k]) for k in numbers) for found in outputs.values()]
            results.append((metric, len(numbers), shares))
    return results


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1) -> str:
    """A Markdown table; numbers between 0 and 1 are shares. All columns but the first `text_columns` are aligned to the
    right."""
    rule = "|---" * text_columns + "|--:" * (len(header) - text_columns) + "|"
    cells = [[f"{cell:.1%}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(row)} |" for row in cells)])
