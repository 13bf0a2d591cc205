"""The scene classifier: a small network that recognises what an image shows. It is trained on rendered scenes alone,
never on generated images, so that it is independent of the checkpoints it evaluates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.data.batches import BatchLoader, downscale
from wuerst_demo.training.data.scenes import Scene
from wuerst_demo.training.data.styles import apply_style
from wuerst_demo.training.data.vocabulary import COLOURS, PLACES, STYLES, TIMES, Thing
from wuerst_demo.training.models import ConvNeXtBlock
from wuerst_demo.training.trainer import TrainingStage, is_finished, train

GRID_CELLS, INPUT_SIDE_PX = 8, 128
PLACE_LABELS, TIME_LABELS, STYLE_LABELS = (*PLACES, *COLOURS), ("", *TIMES), ("", *STYLES)
AUGMENTATION_STYLES = ("pixel art", "pixel art", "pixel art", "pencil sketch", "black and white", "neon")
"""Styles applied while the classifier learns. Pixel art in front of a plain colour is the hardest to recognise."""
STYLED_SHARE = 0.2
MIN_PROBABILITY = 0.5  #: From this on, a thing counts as present.


@dataclass(frozen=True)
class ClassifierOutput:
    """What an image shows."""

    things: dict[str, tuple[float, float]]  #: Name of each thing that is present -> its centre (x, y) in 0..1.
    place: str
    time: str
    style: str
    times: dict[str, float]  #: Probability of each of TIME_LABELS.


class SceneClassifier(nn.Module):
    """Images (B, 3, 128, 128) in 0..1 to logits: the thing in each cell (B, 1 + things, 8, 8), the first for none, and
    (B, n) each for PLACE_LABELS, TIME_LABELS and STYLE_LABELS."""

    def __init__(self, width: int, things: Sequence[Thing]) -> None:
        super().__init__()
        self.things, w = things, width
        layers: list[nn.Module] = [nn.Conv2d(3, w, 4, stride=4), ConvNeXtBlock(w)]
        for narrow, blocks in ((w, 2), (2 * w, 3)):
            layers.append(nn.Conv2d(narrow, 2 * narrow, 4, stride=2, padding=1))
            layers += [ConvNeXtBlock(2 * narrow) for _ in range(blocks)]
        self.trunk = nn.Sequential(*layers)
        self.cells = nn.Conv2d(4 * w, 1 + len(things), 1)
        self.whole = nn.Sequential(nn.LayerNorm(6 * w), nn.Linear(6 * w, 4 * w), nn.GELU())
        self.split = (len(PLACE_LABELS), len(TIME_LABELS), len(STYLE_LABELS))
        self.names = nn.Linear(4 * w, sum(self.split))

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        middle = self.trunk[:5](images * 2 - 1)
        deep = self.trunk[5:](middle)
        # style is a matter of texture, which the mean of the finer features shows
        features = torch.cat([deep.mean((2, 3)), middle.mean((2, 3))], 1)
        return self.cells(deep), self.names(self.whole(features)).split(self.split, 1)

    @torch.no_grad()
    def classify(self, images: Sequence[np.ndarray]) -> list[ClassifierOutput]:
        """What uint8 images (H, W, 3) of any size show."""
        outputs = []
        for pixels in images:
            x = torch.from_numpy(np.array(pixels)).to(self.cells.weight.device).permute(2, 0, 1)[None].float() / 255
            x = functional.interpolate(x, size=(INPUT_SIDE_PX, INPUT_SIDE_PX), mode="bilinear", antialias=True)
            cells, names = self(x)
            best, at = cells[0].softmax(0)[1:].flatten(1).max(1)  # over the cells, each (things,)
            columns, rows = (at % GRID_CELLS + 0.5) / GRID_CELLS, (at // GRID_CELLS + 0.5) / GRID_CELLS
            found = zip(self.things, best.tolist(), columns.tolist(), rows.tolist(), strict=True)
            things = {thing.name: (x, y) for thing, probability, x, y in found if probability >= MIN_PROBABILITY}
            place, time, style = (int(logits[0].argmax()) for logits in names)
            times = dict(zip(TIME_LABELS, names[1][0].softmax(0).tolist(), strict=True))
            outputs.append(ClassifierOutput(things, PLACE_LABELS[place], TIME_LABELS[time], STYLE_LABELS[style], times))
        return outputs


def train_classifier(config: TrainingConfig, device: torch.device, half: torch.dtype | None = None) -> SceneClassifier:
    """The run's classifier. If it is trained already, it is loaded, and no images are rendered."""
    dataset, settings = config.classifier_dataset, config.stages["judge"]
    if not is_finished(config.folder, "judge", settings.steps):
        dataset.render()
    loader = BatchLoader(dataset, device)
    torch.manual_seed(4)
    classifier = SceneClassifier(config.classifier_width, config.known).to(device)

    def loss(step: int, progress: float) -> Tensor:
        batch = dataset.sample_batch(step, settings.batch)
        images, scenes = _augment_styles(loader.images(batch), batch.scenes, Random(f"judge-{step}"))
        images = downscale(images, 0.5)
        if step % 2:  # slightly blurred: sharpness is not evaluated
            images = functional.interpolate(downscale(images, 0.5), scale_factor=2, mode="bilinear")
        images = images + 0.04 * torch.randn_like(images) * torch.rand(len(scenes), 1, 1, 1, device=device)
        cells, names = classifier(images)
        allowed, weight = _cell_targets(scenes, config.known)
        log_probabilities = cells.float().log_softmax(1).masked_fill(~allowed.to(device), -math.inf)
        total: Tensor = (-log_probabilities.logsumexp(1) * weight.to(device)).sum() / len(scenes)
        for logits, labels in zip(names, _label_targets(scenes), strict=True):
            total = total + functional.cross_entropy(logits.float(), labels.to(device), ignore_index=-1)
        return total

    stage = TrainingStage("judge", {"judge": classifier}, loss, settings.steps, settings.rate, ema_decay=0.99)
    stage.time_limit_s = config.time_limit_s("judge")
    return cast(SceneClassifier, train(stage, config.folder, device, half)["judge"])


def _augment_styles(images: Tensor, scenes: Sequence[Scene], rng: Random) -> tuple[Tensor, list[Scene]]:
    """Applies styles to a share of the plain images (B, 3, H, W): the dataset has too few for every background."""
    images, changed = images.clone(), list(scenes)
    for k, scene in enumerate(scenes):
        if not scene.style and rng.random() < STYLED_SHARE:
            style = rng.choice(AUGMENTATION_STYLES)
            pixels = (images[k].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
            styled = np.array(apply_style(Image.fromarray(pixels), style))
            images[k] = torch.from_numpy(styled).to(images.device).permute(2, 0, 1).float() / 255
            changed[k] = replace(scene, style=style)
    return images, changed


def _cell_targets(scenes: Sequence[Scene], things: Sequence[Thing]) -> tuple[Tensor, Tensor]:
    """The classes allowed in each cell (B, 1 + things, 8, 8), bool, and the weight of each cell (B, 8, 8): the centre
    of a thing must be that thing, its neighbours that thing or none, all others none."""
    numbers = {thing: k + 1 for k, thing in enumerate(things)}
    allowed = torch.zeros(len(scenes), 1 + len(things), GRID_CELLS, GRID_CELLS, dtype=torch.bool)
    allowed[:, 0] = True
    weight = torch.full((len(scenes), GRID_CELLS, GRID_CELLS), 4 / GRID_CELLS**2)
    cell, centres = INPUT_SIDE_PX * 2 // GRID_CELLS, []
    for k, item in ((k, item) for k, scene in enumerate(scenes) for item in scene.items):
        x, y, side = item.square(INPUT_SIDE_PX * 2, INPUT_SIDE_PX * 2)
        row, column, number = (y + side // 2) // cell, (x + side // 2) // cell, numbers[item.thing]
        centres.append((k, row, column, number))
        allowed[k, number, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
    for k, row, column, number in centres:
        allowed[k, :, row, column] = False
        allowed[k, number, row, column] = True
        weight[k, row, column] = 1
    return allowed, weight


def _label_targets(scenes: Sequence[Scene]) -> list[Tensor]:
    """Class numbers (B,) of place, time and style. Styles without colour hide place and time: -1 there."""
    rows = []
    for scene in scenes:
        place, time = PLACE_LABELS.index(scene.place), TIME_LABELS.index(scene.time)
        visible = scene.style in ("", "pixel art", "watercolour")
        rows.append((place if visible else -1, time if visible else -1, STYLE_LABELS.index(scene.style)))
    return list(torch.tensor(rows).unbind(1))
