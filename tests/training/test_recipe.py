"""The whole recipe at its smallest setting: it learns, it goes on where it stopped, and what it exports is loaded."""

from pathlib import Path

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import GlobalResponseNorm

from wuerst_demo.training.drawing import FONT
from wuerst_demo.training.fast import quicken
from wuerst_demo.training.loop import Stage, run
from wuerst_demo.training.tokenizer import WORDS

CPU = torch.device("cpu")


def line_fit(steps: int) -> Stage:
    """Learns y = 3 x, with random numbers in every step."""
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 1)

    def loss(step: int) -> torch.Tensor:
        x = torch.randn(16, 1)
        return (network(x) - 3 * x + 0.01 * torch.randn(16, 1)).pow(2).mean()

    return Stage("line", {"line": network}, loss, steps, 0.05)


def weights(modules: dict[str, torch.nn.Module]) -> torch.Tensor:
    return torch.cat([p.flatten() for p in modules["line"].parameters()])


def test_training_lowers_the_loss(tmp_path: Path):
    stage = line_fit(300)
    before = stage.loss(0).item()
    run(stage, tmp_path, CPU, None)
    assert stage.loss(0).item() < before / 100


def test_a_run_that_was_interrupted_equals_one_that_was_not(tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    stage = line_fit(40)
    expected = weights(run(stage, whole, CPU, None))

    class Interrupted(Exception):
        pass

    stage = line_fit(40)
    learn = stage.loss

    def breaks(step: int) -> torch.Tensor:
        if step == 25:
            raise Interrupted
        return learn(step)

    stage.loss, stage.save_every = breaks, 0.0
    with pytest.raises(Interrupted):
        run(stage, cut, CPU, None)
    resumed = line_fit(40)
    assert torch.equal(weights(run(resumed, cut, CPU, None)), expected)


def test_the_quick_response_norm_equals_the_published_one():
    torch.manual_seed(0)
    published, quick = GlobalResponseNorm(12), GlobalResponseNorm(12)
    for norm in (published, quick):
        torch.manual_seed(1)
        torch.nn.init.normal_(norm.gamma)
        torch.nn.init.normal_(norm.beta)
    quicken(quick)
    x = torch.randn(2, 5, 4, 12)
    given = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [norm(each) for norm, each in zip((published, quick), given, strict=True)]
    weight = torch.randn_like(x)
    for output in outputs:
        (output * weight).sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(given[1].grad, given[0].grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(quick.gamma.grad, published.gamma.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
@pytest.mark.skipif(not WORDS.exists(), reason="needs Debian's wamerican")
def test_what_the_whole_recipe_exports_is_loaded_and_draws(tmp_path: Path):
    from wuerst_demo.api import load
    from wuerst_demo.training.__main__ import main

    size = ["--dial", "1", "--things", "3", "--scenes", "24", "--effort", "0.002"]
    stages = ["draw", "vqgan", "encoder", "decoder", "prior", "export"]
    folders = ["--folder", str(tmp_path / "run"), "--export", str(tmp_path / "cocktail")]
    assert main([*stages, *folders, *size]) == 0
    model = load(str(tmp_path / "cocktail" / "wuerstchen"))
    request = model.request(prompt="a cat", width=256, height=384, seed=1, prior_steps=2, decoder_steps=2)
    (result,) = model.generate(request)
    assert result.picture.size == (256, 384)
    assert model.limits.number("width").most == 384
