"""Guidance distillation: what the student learns, and that an export has it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from wuerst_demo.pipeline.noise_schedule import alpha_bar, denoising_step, predict_clean_latents, step_coefficients
from wuerst_demo.training import diffusion
from wuerst_demo.training.__main__ import main
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.distil import GRID_SHARE, GUIDANCE, Distillation, clean_latents_after, sample_grid_timesteps
from wuerst_demo.training.stages import TrainingRun
from wuerst_demo.training.trainer import load_ema_weights

T = torch.tensor([1.0, 2 / 3, 1 / 3, 0.2])
NOISY = diffusion.add_noise(*torch.randn(2, 4, 4, 8, 8, generator=torch.Generator().manual_seed(0)), T)
STEP = 1 / 3


def predict(x: Tensor, t: Tensor) -> Tensor:
    """A prediction that depends on latents and time."""
    return torch.tanh(x) * t.view(-1, 1, 1, 1)


def test_in_one_step_the_student_learns_the_teachers_estimate():
    expected = predict_clean_latents(NOISY, predict(NOISY, T), T)
    torch.testing.assert_close(clean_latents_after(predict, NOISY, T, STEP, 1), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("substeps", [2, 3])
def test_a_step_of_the_student_ends_where_the_teachers_shorter_steps_end(substeps):
    clean = clean_latents_after(predict, NOISY, T, STEP, substeps)
    signal = alpha_bar(T).view(-1, 1, 1, 1)
    noise = (NOISY - signal.sqrt() * clean) / (1 - signal).sqrt()
    for k, t in enumerate(T.tolist()):
        end = max(0.0, t - 1 / 3) if t > 0.34 else 0.0
        x = NOISY[k : k + 1]
        (row,) = step_coefficients((t, end), "ddim")
        student = denoising_step(x, noise[k : k + 1], row[None], torch.zeros_like(x))
        times = torch.linspace(t, end, substeps + 1).tolist()
        for row in step_coefficients(tuple(times), "ddim"):
            x = denoising_step(x, predict(x, row[:1]), row[None], torch.zeros_like(x))
        torch.testing.assert_close(student, x, rtol=1e-4, atol=1e-4)


def test_most_timesteps_are_those_of_few_sampling_steps():
    t = sample_grid_timesteps(6000, torch.Generator().manual_seed(1))
    assert t.min() > 0
    assert t.max() == 1
    thirds = sum((torch.isclose(t, torch.tensor(k / 3)).float().mean().item() for k in (1, 2)), 0.0)
    assert thirds == pytest.approx(GRID_SHARE / 2 * 2 / 3, abs=0.03)


@pytest.mark.slow
def test_the_teacher_is_guided_late_and_not_in_plain_rows(trained: Path, small_options):
    run = TrainingRun(TrainingConfig(trained, scale=1, things=4), torch.device("cpu"), None)
    distillation = Distillation(run)
    x, t = torch.randn(3, 4, 64, 64), torch.tensor([0.5, 0.9, 0.5])
    z, text = torch.randn(3, 16, 6, 6), torch.randn(3, *distillation.nothing.shape[1:])
    found = distillation.teach(z, text, torch.tensor([False, False, True]))(x, t)
    with torch.no_grad():
        conditional = distillation.teacher(x, t, z, text)
        without = distillation.teacher(x, t, torch.zeros_like(z), distillation.nothing.expand(3, -1, -1))
    torch.testing.assert_close(found[0], torch.lerp(without[0], conditional[0], GUIDANCE), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1:], conditional[1:], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_an_export_has_the_distilled_decoder_and_nothing_else_changes(trained: Path, tmp_path: Path, small_options):
    folder, before, after = tmp_path / "run", trained / "cocktail", tmp_path / "exported"
    folder.mkdir()
    assert main(["adopt", *small_options, "--folder", str(folder), "--export", str(before)]) == 0
    assert main(["distil", "export", *small_options, "--folder", str(folder), "--export", str(after)]) == 0
    student = load_ema_weights(folder, "distil")["decoder"]
    changed = set()
    for path in after.rglob("*.safetensors"):
        new, old = load_file(path), load_file(before / path.relative_to(after))
        if any(not torch.equal(tensor, old[key]) for key, tensor in new.items()):
            changed.add(path.parent.relative_to(after))
            assert all(torch.equal(tensor, student[key].half()) for key, tensor in new.items())
    assert changed == {Path("wuerstchen/decoder")}
