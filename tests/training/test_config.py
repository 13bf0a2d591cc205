"""Training settings: time limits, effort, and the check of images that were rendered before."""

import json
import math
from pathlib import Path

import pytest

from wuerst_demo.errors import SetupError
from wuerst_demo.training.config import CPU_STAGES, GPU_STAGES, TrainingConfig

CONFIG = TrainingConfig(Path("unused"))


def test_minutes_are_divided_among_the_stages():
    config = TrainingConfig(Path("unused"), minutes=25)
    own_runs = {"distil", "vqgan-decoder"}
    assert {config.time_limit_s(stage) for stage in own_runs} == {25 * 60}
    assert sum(config.time_limit_s(stage) for stage in {*CPU_STAGES} - own_runs) == pytest.approx(25 * 60)
    assert CONFIG.time_limit_s("prior") == math.inf


def test_both_devices_share_the_time_and_the_rates():
    assert [(s.rate, s.time_share) for s in CPU_STAGES.values()] == [
        (s.rate, s.time_share) for s in GPU_STAGES.values()
    ]
    assert list(CPU_STAGES) == list(GPU_STAGES)


def test_effort_scales_steps_and_never_more_scenes():
    half, double = CONFIG.scaled(0.5, 1.0), CONFIG.scaled(2.0, 1.0)
    for name, stage in CONFIG.stages.items():
        assert half.stages[name].steps == stage.steps // 2
        assert double.stages[name].steps == stage.steps * 2
    assert (half.prior_scenes, double.prior_scenes) == (CONFIG.prior_scenes // 2, CONFIG.prior_scenes)
    least = CONFIG.scaled(1e-9, 1.0)
    assert (least.captions, least.prior_scenes, least.classifier_scenes) == (500, 8, 8)
    assert {stage.steps for stage in least.stages.values()} == {1}


def test_the_rate_changes_the_stages_that_are_finetuned():
    changed = CONFIG.scaled(1.0, 0.5)
    ratios = {name: changed.stages[name].rate / CONFIG.stages[name].rate for name in CONFIG.stages}
    assert {name for name, ratio in ratios.items() if ratio == 0.5} == {"decoder", "words", "prior"}
    assert set(ratios.values()) == {0.5, 1.0}


def test_each_round_has_other_batch_seeds():
    other = TrainingConfig(Path("unused"), round=1)
    assert CONFIG.batch_seed(7) == 7
    assert not {CONFIG.batch_seed(step) for step in range(100)} & {other.batch_seed(step) for step in range(100)}


def test_images_of_another_scene_distribution_are_rejected(tmp_path: Path):
    config = TrainingConfig(tmp_path)
    config.save()
    config.check()
    path = tmp_path / "recipe.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"mixes": saved["mixes"].replace("0.66", "0.4")}))
    with pytest.raises(SetupError, match="version of this program with other scenes"):
        config.check()
