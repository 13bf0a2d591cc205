"""The scene classifier: its targets, its augmentation, and what it reports."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from wuerst_demo.training.config import CPU_STAGES, TrainingConfig
from wuerst_demo.training.data.dataset import SceneDataset
from wuerst_demo.training.data.render import EMOJI_FONT, render
from wuerst_demo.training.data.scenes import Item, Scene
from wuerst_demo.training.data.styles import apply_style
from wuerst_demo.training.data.vocabulary import THINGS
from wuerst_demo.training.evaluation.classifier import (
    PLACE_LABELS,
    TIME_LABELS,
    SceneClassifier,
    _augment_styles,
    _cell_targets,
    train_classifier,
)
from wuerst_demo.training.evaluation.evaluate import evaluation_prompts
from wuerst_demo.training.trainer import write_state

needs_font = pytest.mark.skipif(not EMOJI_FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
CAT, DOG = THINGS[:2]
CPU = torch.device("cpu")
ALONE = Scene((Item(CAT, 0.5, 0.5, 128),), "grass", "night", 1)
PAIR = Scene((Item(CAT, 0.25, 0.5, 128), Item(DOG, 0.75, 0.5, 128)), "grass", "day", 1)


def small_config(folder: Path, steps: int, batch: int = 24, **settings) -> TrainingConfig:
    stage = replace(CPU_STAGES["judge"], steps=steps, batch=batch)
    return TrainingConfig(folder, things=3, stages={"judge": stage}, **settings)


def test_the_output_has_the_thing_of_a_confident_cell_and_its_centre():
    class Sure(SceneClassifier):
        """Sees a dog in the sixth cell of the second row, on the beach."""

        def forward(self, images):
            cells = torch.zeros(1, 3, 8, 8)
            cells[0, 0] = 9
            cells[0, 2, 1, 5] = 20
            names = [torch.zeros(1, count) for count in self.split]
            names[0][0, PLACE_LABELS.index("beach")] = 5
            names[1][0, TIME_LABELS.index("night")] = 5
            return cells, tuple(names)

    (found,) = Sure(8, THINGS[:2]).classify([np.zeros((256, 384, 3), np.uint8)])
    assert found.things == {"dog": (5.5 / 8, 1.5 / 8)}
    assert (found.place, found.time, found.style) == ("beach", "night", "")
    assert found.times["night"] == max(found.times.values())


def test_a_centre_is_its_thing_and_its_neighbours_that_or_none():
    allowed, weight = _cell_targets([PAIR], THINGS[:2])  # the cat's centre is in (4, 2), the dog's in (4, 6)
    classes = {
        (row, column): set(allowed[0, :, row, column].nonzero().flatten().tolist())
        for row in range(8)
        for column in range(8)
    }
    nothing, cat, dog = 0, 1, 2
    assert classes[4, 2] == {cat}
    assert classes[4, 6] == {dog}
    assert classes[3, 1] == classes[5, 3] == {nothing, cat}
    assert classes[3, 7] == classes[5, 5] == {nothing, dog}
    assert classes[4, 4] == classes[0, 0] == classes[7, 2] == {nothing}
    assert weight[0, 4, 2] == weight[0, 4, 6] == 1
    assert weight[0, 4, 4] < 0.1


@pytest.mark.slow
@needs_font
def test_a_small_classifier_learns_to_recognise_rendered_scenes(tmp_path):
    config = small_config(tmp_path, 500, 12, scale=1, classifier_width=16, classifier_scenes=600)
    classifier = train_classifier(config, CPU)
    prompts = evaluation_prompts(config, 120)
    seen = classifier.classify([np.asarray(render(each.scene, 256, 256)) for each in prompts])
    shown = [{item.thing.name for item in each.scene.items} for each in prompts]
    right = [names <= set(output.things) for names, output in zip(shown, seen, strict=True)]
    others = [bool(set(output.things) - names) for names, output in zip(shown, seen, strict=True)]
    assert np.mean(right) > 0.85
    assert np.mean(others) < 0.15  # it does not report every thing everywhere


@needs_font
def test_some_plain_images_are_styled_and_labelled_so():
    scenes = [replace(ALONE, detail=k, style="neon" if k % 4 == 0 else "") for k in range(40)]
    images = [render(scene, 256, 256) for scene in scenes]
    given = torch.stack([torch.from_numpy(np.array(image)) for image in images]).permute(0, 3, 1, 2).float() / 255
    styled, labelled = _augment_styles(given, scenes, Random(1))
    changed = [k for k, (before, after) in enumerate(zip(scenes, labelled, strict=True)) if before != after]
    assert 2 < len(changed) < 15
    for k, (scene, pixels) in enumerate(zip(labelled, styled, strict=True)):
        assert k not in changed or not scenes[k].style
        expected = apply_style(images[k], scene.style if k in changed else "")
        assert np.array_equal((pixels.permute(1, 2, 0) * 255).round().byte().numpy(), np.asarray(expected))


@needs_font
def test_the_classifier_does_not_depend_on_the_scale(tmp_path):
    small, large = (
        train_classifier(small_config(tmp_path / str(scale), 1, scale=scale, classifier_scenes=8), CPU)
        for scale in (1, 4)
    )
    assert [p.shape for p in small.parameters()] == [p.shape for p in large.parameters()]


def test_a_trained_classifier_is_loaded_without_rendering_images(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(SceneDataset, "render", lambda dataset: pytest.fail("images are rendered"))
    config = small_config(tmp_path, steps=5, classifier_width=8)
    weights = SceneClassifier(8, THINGS[:3]).state_dict()
    write_state(tmp_path / "judge.pt", 5, {"judge": weights}, {"judge": weights})
    trained = train_classifier(config, CPU)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in trained.state_dict().items())
    assert not trained.training
