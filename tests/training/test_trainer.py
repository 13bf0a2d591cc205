"""The training loop: it learns, resumes exactly, ends in time, and rejects the weights of other networks."""

import re
import zlib
from pathlib import Path

import pytest
import torch

from wuerst_demo.errors import SetupError
from wuerst_demo.training.trainer import TrainingStage, is_finished, load_ema, train, write_state

CPU = torch.device("cpu")


def line_fit(steps: int) -> TrainingStage:
    """Learns y = 3 x, with random numbers in every step."""
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 1)

    def loss(step: int, progress: float = 0.0) -> torch.Tensor:
        x = torch.randn(16, 1)
        return (network(x) - 3 * x + 0.01 * torch.randn(16, 1)).pow(2).mean()

    return TrainingStage("line", {"line": network}, loss, steps, 0.05)


def flat_weights(modules: dict[str, torch.nn.Module]) -> torch.Tensor:
    return torch.cat([p.flatten() for p in modules["line"].parameters()])


def test_training_lowers_the_loss(tmp_path: Path):
    stage = line_fit(300)
    before = stage.loss(0).item()
    train(stage, tmp_path, CPU, None)
    assert stage.loss(0).item() < before / 100


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    expected = flat_weights(train(line_fit(40), whole, CPU, None))
    stage = line_fit(40)
    learn = stage.loss

    def interrupted(step: int, progress: float) -> torch.Tensor:
        if step == 25:
            raise KeyboardInterrupt
        return learn(step, progress)

    stage.loss, stage.save_every_s = interrupted, 0.0
    with pytest.raises(KeyboardInterrupt):
        train(stage, cut, CPU, None)
    assert torch.equal(flat_weights(train(line_fit(40), cut, CPU, None)), expected)


def test_samples_are_written_with_ema_weights_at_intervals_and_at_the_end(tmp_path: Path):
    stage, written = line_fit(25), []
    stage.samples_every = 10
    stage.write_samples = lambda steps, ema: written.append((steps, flat_weights(ema), flat_weights(stage.modules)))
    ema = train(stage, tmp_path, CPU, None)
    assert [steps for steps, _, _ in written] == [10, 20, 25]
    assert torch.equal(written[-1][1], flat_weights(ema))
    assert not torch.equal(written[-1][1], written[-1][2])


def test_a_stage_ends_at_its_time_limit_and_is_finished(tmp_path: Path):
    stage = line_fit(1_000_000)
    stage.time_limit_s = 0.05
    train(stage, tmp_path, CPU, None)
    again = line_fit(1_000_000)
    again.loss = lambda step, progress: pytest.fail("a finished stage is trained again")
    train(again, tmp_path, CPU, None)


def test_weights_of_other_networks_are_rejected(tmp_path: Path):
    train(line_fit(1), tmp_path, CPU, None)
    with pytest.raises(SetupError, match="with other networks"):
        load_ema(tmp_path, "line", {"line": torch.nn.Linear(2, 1)})


def test_the_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    stage = TrainingStage("line", {}, lambda step, progress: torch.zeros(()), 1000, 0.5)
    for step, share in ((0, 1 / 101), (49, 50 / 101), (100, 1), (999, 1)):
        assert stage.learning_rate(step, 0.0) == pytest.approx(0.5 * share)
    assert stage.learning_rate(999, 0.5) == pytest.approx(0.5 * 0.51)
    assert stage.learning_rate(999, 1.0) == pytest.approx(0.5 * 0.02)
    long = TrainingStage("line", {}, lambda step, progress: torch.zeros(()), 1_000_000, 0.5)
    assert long.learning_rate(198, 0.0) == pytest.approx(0.5 * 199 / 200)
    assert long.learning_rate(200, 0.0) == 0.5


def test_training_is_adamw_with_clipped_gradients_and_averaged_weights(tmp_path: Path):
    stage = line_fit(30)
    reference = torch.nn.Linear(1, 1)
    reference.load_state_dict(stage.modules["line"].state_dict())
    slow = stage.modules["line"].bias
    stage.slow = [slow]
    averaged = [p.detach().clone() for p in reference.parameters()]
    groups = [{"params": [reference.weight]}, {"params": [reference.bias]}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(30):
        for group, scale in zip(optimiser.param_groups, (1, 0.05), strict=True):
            group["lr"] = stage.learning_rate(step, step / 30) * scale
        torch.manual_seed(zlib.crc32(f"line-{step}".encode()))
        x = torch.randn(16, 1)
        optimiser.zero_grad()
        (reference(x) - 3 * x + 0.01 * torch.randn(16, 1)).pow(2).mean().backward()
        norm = torch.cat([p.grad.flatten() for p in reference.parameters()]).norm()
        for p in reference.parameters():
            p.grad /= max(1.0, float(norm))
        optimiser.step()
        decay = min(0.997, (1 + step) / (20 + step))
        averaged = [decay * a + (1 - decay) * p.detach() for a, p in zip(averaged, reference.parameters(), strict=True)]
    ema = train(stage, tmp_path, CPU, None)
    assert torch.allclose(
        flat_weights(stage.modules), torch.cat([p.flatten() for p in reference.parameters()]), atol=1e-4
    )
    assert torch.allclose(flat_weights(ema), torch.cat([p.flatten() for p in averaged]), atol=1e-4)
    assert not any(p.requires_grad for p in ema["line"].parameters())
    assert not ema["line"].training


def test_progress_is_reported_every_hundred_steps(tmp_path: Path, capsys):
    train(line_fit(250), tmp_path, CPU, None)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["line 100/250", "line 200/250"]
    pattern = r"line \d+/250  loss 0\.\d{4}|line \d+/250  loss [\d.]+  [\d.]+ s per step  0\.0 min left"
    assert all(re.fullmatch(pattern, line) for line in lines)
    losses = [float(line.split("loss ")[1].split()[0]) for line in lines]
    assert losses[0] > losses[1] > 0


def test_a_state_without_an_optimiser_is_trained_further(tmp_path: Path):
    stage = line_fit(20)
    weights = {"weight": torch.full((1, 1), 2.5), "bias": torch.zeros(1)}
    write_state(tmp_path / "line.pt", 5, {"line": weights}, {"line": weights})
    assert not is_finished(tmp_path, "line", 6)
    assert is_finished(tmp_path, "line", 5)
    assert not is_finished(tmp_path, "other", 0)
    steps = []
    learn = stage.loss
    stage.loss = lambda step, progress: steps.append((step, progress)) or learn(step, progress)
    train(stage, tmp_path, CPU, None)
    assert steps == [(k, k / 20) for k in range(5, 20)]
    assert is_finished(tmp_path, "line", 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.pt"]
    loaded = load_ema(tmp_path, "line", {"line": torch.nn.Linear(1, 1)}, training=True)["line"]
    assert loaded.training
    assert loaded.weight.requires_grad
