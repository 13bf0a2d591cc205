"""The report: its tables are made with other prompts than the evaluation's, and its grids have the right images."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.evaluation import report
from wuerst_demo.training.evaluation.classifier import ClassifierOutput
from wuerst_demo.training.evaluation.evaluate import evaluation_prompts

CONFIG = TrainingConfig(Path("unused"))
PROMPTS = evaluation_prompts(CONFIG, 600, report.TUNING_SEED)
STEPS, GUIDANCE = ([tuple(pair) for pair in report.SWEEPS[name]] for name in ("steps", "guidance"))
MODEL = SimpleNamespace(request=lambda **settings: settings)


@pytest.fixture
def recorded(monkeypatch):
    """All requests of a report, and a classifier: every third image lacks the thing, every ninth the background."""
    made = []
    scenes = {each.prompt: each.scene for each in PROMPTS}

    def classify(images):
        outputs = []
        for k, request in enumerate(images):
            scene = scenes[request["prompt"]]
            things = {} if k % 3 == 0 else {scene.items[0].thing.name: (0.5, 0.5)}
            outputs.append(ClassifierOutput(things, "" if k % 9 == 1 else scene.place, scene.time, "", {}))
        return outputs

    def generate_images(model, given):
        made.extend(given)
        return given

    monkeypatch.setattr(report, "generate_images", generate_images)
    return made, SimpleNamespace(classify=classify)


@pytest.fixture
def grey_images(monkeypatch):
    """All requests; image k is grey, 10 + k."""
    made = []

    def generate_images(model, given):
        made.extend(given)
        return [np.full((256, 256, 3), 10 + k, np.uint8) for k in range(len(given))]

    monkeypatch.setattr(report, "generate_images", generate_images)
    return made


def cells(table):
    """Pair of settings -> shares of images with the thing and with the background."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {(float(one), float(other)): (thing, place) for one, other, thing, place in rows}


def tables(recorded, count):
    """The requests of the steps' table and of the guidance's, and both tables."""
    requests, classifier = recorded
    steps, guidance = report.steps_and_guidance_tables(MODEL, classifier, CONFIG, count).split("\n\n")
    by_steps = [request for request in requests if "prior_steps" in request]
    return by_steps, [request for request in requests if "prior_guidance" in request], cells(steps), cells(guidance)


def test_all_steps_are_tried_with_the_same_prompts_and_seeds(recorded):
    requests, _, table, _ = tables(recorded, 72)
    assert table == dict.fromkeys(STEPS, ("67%", "89%"))
    by_steps = {
        steps: [(r["prompt"], r["seed"]) for r in requests if (r["prior_steps"], r["decoder_steps"]) == steps]
        for steps in STEPS
    }
    assert all(len(prompts) == 9 for prompts in by_steps.values())
    assert len({tuple(prompts) for prompts in by_steps.values()}) == 1


def test_guidance_is_tried_with_small_big_or_painted_things(recorded):
    _, requests, _, table = tables(recorded, 90)
    assert table == dict.fromkeys(GUIDANCE, ("67%", "89%"))
    assert {(r["prior_guidance"], r["decoder_guidance"]) for r in requests} == set(GUIDANCE)
    hard = {each.prompt: each.scene.items[0] for each in PROMPTS}
    assert all(hard[r["prompt"]].word or hard[r["prompt"]].colour for r in requests)
    assert len(requests) == 18 * len(GUIDANCE)


def test_samplers_are_compared_by_all_metrics_with_the_same_prompts(recorded):
    requests, classifier = recorded
    lines = report.samplers_table(MODEL, classifier, CONFIG, 33).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert len(rows) == 2 + len(report.SWEEPS["samplers"])
    assert rows[0][:2] == ["sampler", "prior steps"]
    assert rows[0][7] == "the named thing is there, one-thing prompts (9)"
    assert rows[2][:8] == ["ddpm", "5", "4", "2", "3", "0", "1", "66.7%"]
    assert {tuple(row[7:]) for row in rows[2:]} == {tuple(rows[2][7:])}
    assert {request["guidance_from"] for request in requests} == {0.0, 0.3, 0.4}


def test_settings_are_not_chosen_with_the_evaluations_prompts(recorded):
    by_steps, by_guidance, _, _ = tables(recorded, 90)
    evaluated = {(each.prompt, each.scene.detail) for each in evaluation_prompts(CONFIG, 550)}
    chosen = {(each.prompt, each.scene.detail) for each in PROMPTS}
    assert not evaluated & chosen
    assert {r["prompt"] for r in (*by_steps, *by_guidance)} <= {prompt for prompt, _ in chosen}


def test_the_contact_sheet_has_an_image_for_each_unseen_caption(grey_images, tmp_path: Path):
    report.contact_sheet(CONFIG, MODEL, tmp_path / "contact.jpg", count=10)
    assert [request["prompt"] for request in grey_images] == report.unseen_captions(CONFIG, 10)
    with Image.open(tmp_path / "contact.jpg") as image:
        sheet = np.asarray(image)
    assert sheet.shape[1] == 8 * 256
    rows = sheet.shape[0] // 2
    assert abs(int(sheet[128, 128, 0]) - 10) < 3
    assert abs(int(sheet[rows + 128, 256 + 128, 0]) - 19) < 3  # the tenth is the second of the second row
    assert (sheet[rows - 20 : rows, :256] < 100).any(), "no label"


def test_the_weights_grid_has_a_row_per_prompt_with_the_same_seeds(grey_images, tmp_path: Path):
    report.weights_grid(MODEL, tmp_path / "weights.png")
    seeds = list(range(4)) * len(report.SWEEPS["weights"])
    assert [request["seed"] for request in grey_images] == seeds
    assert [request["prompt"] for request in grey_images[::4]] == report.SWEEPS["weights"]
    assert all(request["weighting"] for request in grey_images)
    with Image.open(tmp_path / "weights.png") as grid:
        assert grid.size[0] == 4 * 128


def test_grids_have_images_side_by_side_and_rows_below_each_other(tmp_path: Path):
    rows = [torch.full((2, 3, 4, 5), value) for value in (0.2, 1.7)]
    report.save_grid(tmp_path / "grid.png", rows)
    with Image.open(tmp_path / "grid.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (8, 10, 3)
    assert (pixels[:4] == 51).all()
    assert (pixels[4:] == 255).all()


def test_the_decoders_samples_are_as_large_as_the_images_above_them(tmp_path):
    def decoder(x, t, effnet, clip):
        return torch.zeros_like(x)

    class Vqgan:
        def decode(self, latents):
            return SimpleNamespace(sample=latents[:, :3].repeat_interleave(4, 2).repeat_interleave(4, 3))

    images = torch.full((2, 3, 32, 64), 0.5)
    report.save_decoder_samples(
        tmp_path / "a.png", images, torch.zeros(2, 16, 1, 2), torch.zeros(2, 4, 8), decoder, Vqgan()
    )
    with Image.open(tmp_path / "a.png") as written:
        assert written.size == (2 * 64, 3 * 32)
        assert written.crop((0, 0, 128, 32)).getextrema() == ((128, 128),) * 3
