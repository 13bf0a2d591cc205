"""The stages of a run: their order, their devices and data types, and what they recompute."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wuerst_demo.errors import SetupError
from wuerst_demo.pipeline.noise_schedule import alpha_bar
from wuerst_demo.training.config import CPU_STAGES, TrainingConfig
from wuerst_demo.training.data.scenes import Item, Scene
from wuerst_demo.training.data.vocabulary import THINGS
from wuerst_demo.training.stages import EDGE_PX, TrainingRun, crop_edge_weights
from wuerst_demo.training.tokenizer import WORD_LIST
from wuerst_demo.training.trainer import TrainingStage

CPU = torch.device("cpu")


def small_config(folder: Path, **steps: int) -> TrainingConfig:
    """Settings of the shared run, with as many steps of some stages and single images as batches."""
    stages = {name: replace(stage, steps=steps.get(name, stage.steps), batch=1) for name, stage in CPU_STAGES.items()}
    stages["vqgan"] = replace(stages["vqgan"], batch=4)
    return TrainingConfig(folder, scale=1, things=4, scenes=24, prior_scenes=72, captions=500, stages=stages)


def test_edges_have_three_times_the_weight_of_the_inside():
    weight = crop_edge_weights(64)[0, 0]
    assert weight.mean().item() == pytest.approx(1)
    inside = weight[32, 32].item()
    for row, column in ((0, 32), (EDGE_PX - 1, 32), (32, 63), (64 - EDGE_PX, 32)):
        assert weight[row, column].item() == pytest.approx(3 * inside)
    assert weight[EDGE_PX, 32].item() == weight[32, 63 - EDGE_PX].item() == inside


def test_dropped_captions_have_no_labels(tmp_path: Path):
    run = TrainingRun(small_config(tmp_path), CPU, None)
    scenes = [Scene((Item(THINGS[0], 0.5, 0.5, 128),), "grass", "day", 1)] * 2
    labels = run.caption_labels(scenes, ["a cat", ""], layout=True)
    assert labels.shape == (2, len(run.labels.labels) + len(run.labels.layout_labels))
    assert labels[0].sum() == 4  # the cat, the grass, the day, and the cat as the first thing
    assert labels[1].sum() == 0


@pytest.mark.skipif(not WORD_LIST.exists(), reason="needs Debian's wamerican")
def test_a_stage_reports_which_stage_has_to_come_first(tmp_path: Path):
    run = TrainingRun(small_config(tmp_path), CPU, None)
    with pytest.raises(SetupError, match="'together' has not been trained"):
        run.prior()


@pytest.mark.slow
def test_latents_are_computed_again_after_the_vqgan_was_trained_further(trained: Path, tmp_path: Path):
    folder = shutil.copytree(trained, tmp_path / "run")
    path = folder / "store" / "latents-256x256.npy"

    def latents_after(steps: int) -> bytes:
        TrainingRun(small_config(folder, vqgan=steps), CPU, None).vqgan()
        return path.read_bytes()

    before = path.read_bytes()
    assert latents_after(1) == before
    longer = latents_after(8)
    assert longer != before
    assert latents_after(8) == longer


@pytest.mark.slow
@pytest.mark.parametrize("t", [1.0, 0.2])
def test_the_priors_noise_tells_where_things_are_where_nothing_else_does(trained: Path, monkeypatch, t: float):
    """Always at t = 1, where the noisy z is all noise, and less often later."""
    given, slope = [], torch.linspace(-1, 1, 6)
    batch = TrainingConfig(trained, things=4, prior_scenes=72).prior_dataset.sample_batch(3, 40)

    def predict(prior, noisy, times, text):
        given.append(noisy)
        return noisy, noisy.abs()

    def train_once(stage: TrainingStage, folder: Path, device: torch.device, half: torch.dtype | None):
        stage.loss(0, 0.0)

    monkeypatch.setattr("wuerst_demo.training.stages.train", train_once)
    monkeypatch.setattr("wuerst_demo.training.models.predict_prior_parts", predict)
    monkeypatch.setattr("wuerst_demo.training.diffusion.sample_timesteps", lambda count, *_: torch.full((count,), t))
    run = TrainingRun(small_config(trained), CPU, None)
    monkeypatch.setattr(type(batch.dataset), "sample_batch", lambda *_: batch)
    run.prior()
    clean = run.prior_loader.derived("z", batch)
    signal = alpha_bar(torch.tensor(t))
    noise = (given[0] - signal.sqrt() * clean) / (1 - signal).sqrt()
    found = torch.stack([noise.mean((1, 2)) @ slope, noise.mean((1, 3)) @ slope], 1)
    shifts = torch.tensor([scene.shift for scene in batch.scenes])
    agrees = ((found > 0) == (shifts > 0.5)).all(1).float().mean()
    assert agrees == 1 if t == 1 else 0.4 < agrees < 0.9  # a half, and by chance a quarter of the other one


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter:UserWarning")
def test_every_stage_learns_on_any_device_and_in_half_precision(trained: Path, monkeypatch):
    """No tensor is on the wrong device or of the wrong type. The "meta" device stands in for a GPU: like one, it
    rejects tensors of other devices."""
    losses = []

    def train_once(stage: TrainingStage, folder: Path, device: torch.device, half: torch.dtype | None):
        with torch.autocast("cpu", half, enabled=half is not None):
            loss = stage.loss(0, 0.0)
        loss.backward()
        assert loss.device.type == device.type
        losses.append(loss)
        return stage.modules

    monkeypatch.setattr("wuerst_demo.training.stages.train", train_once)
    config = small_config(trained, vqgan=1, together=1)  # finished, so that their arrays are not deleted
    for device, half in ((torch.device("meta"), None), (CPU, torch.bfloat16)):
        run = TrainingRun(config, device, half)
        run.vqgan()
        run.encoder()
        run.together()
        run.decoder()
        run.words()
        run.prior()
    assert len(losses) == 16  # the VQGAN's three times: it is needed for the sample sheets of two other stages
    assert all(loss.isfinite() for loss in losses[8:])
