"""The whole recipe at its smallest setting: it learns, it goes on where it stopped, and what it exports is loaded."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_common import GlobalResponseNorm
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from safetensors.torch import save_file

from wuerst_demo.api import load
from wuerst_demo.errors import SettingsError, SetupError
from wuerst_demo.training import networks
from wuerst_demo.training.__main__ import main
from wuerst_demo.training.adopt import image_encoder
from wuerst_demo.training.drawing import FONT
from wuerst_demo.training.evaluate import MEASURES
from wuerst_demo.training.export import export
from wuerst_demo.training.fast import quicken
from wuerst_demo.training.loop import Stage, averaged, run
from wuerst_demo.training.recipe import SHARES, Recipe
from wuerst_demo.training.stages import EDGE, Training, _edged
from wuerst_demo.training.tokenizer import WORDS, train_tokenizer

CPU = torch.device("cpu")
needs_words = pytest.mark.skipif(not WORDS.exists(), reason="needs Debian's wamerican")
needs_font_and_words = pytest.mark.skipif(
    not (FONT.exists() and WORDS.exists()), reason="needs Debian's fonts-noto-color-emoji and wamerican"
)


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


def decoder_of(folder: Path) -> dict[str, torch.Tensor]:
    """The decoder that a run has trained so far."""
    state: dict[str, torch.Tensor] = torch.load(folder / "decoder.pt", weights_only=True)["modules"]["decoder"]
    return state


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return sum((one[key] - other[key]).abs().sum().item() for key in one)


def test_a_stage_with_a_limit_ends_in_time_and_is_done(tmp_path: Path):
    stage = line_fit(1_000_000)
    stage.limit = 0.05
    run(stage, tmp_path, CPU, None)
    again = line_fit(1_000_000)
    again.loss = lambda step: pytest.fail("a stage that is done does not learn any more")
    run(again, tmp_path, CPU, None)


def test_minutes_are_shared_out_among_the_stages():
    recipe = Recipe(Path("unused"), minutes=25)
    assert sum(recipe.limit(stage) for stage in SHARES) == pytest.approx(25 * 60)
    assert Recipe(Path("unused")).limit("prior") == math.inf


def test_an_edge_counts_three_times_as_much_for_the_vqgan_as_what_is_inside():
    weight = _edged(64)[0, 0]
    assert weight.mean().item() == pytest.approx(1)
    inside = weight[32, 32].item()
    for row, column in ((0, 32), (EDGE - 1, 32), (32, 63), (64 - EDGE, 32)):
        assert weight[row, column].item() == pytest.approx(3 * inside)
    assert weight[EDGE, 32].item() == weight[32, 63 - EDGE].item() == inside


def test_pictures_of_another_versions_scenes_are_not_gone_on_with(tmp_path: Path):
    recipe = Recipe(tmp_path)
    recipe.keep()
    recipe.check()
    kept = tmp_path / "recipe.json"
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps(said | {"mixes": said["mixes"].replace("0.66", "0.4")}))
    with pytest.raises(SetupError, match="version of this program with other scenes"):
        recipe.check()


def test_weights_of_other_networks_are_refused_in_one_line(tmp_path: Path):
    run(line_fit(1), tmp_path, CPU, None)
    with pytest.raises(SetupError, match="with other networks"):
        averaged(tmp_path, "line", {"line": torch.nn.Linear(2, 1)})


@needs_words
def test_a_stage_before_its_turn_says_which_one_comes_first(tmp_path: Path):
    training = Training(Recipe(tmp_path, dial=1), CPU, None)
    with pytest.raises(SetupError, match="'together' has not been trained"):
        training.prior()
    with pytest.raises(SetupError, match="'vqgan' has not been trained"):
        export(training.recipe, train_tokenizer(700, captions=50), tmp_path / "cocktail")


@pytest.mark.parametrize(
    "words",
    [
        ["paint"],
        ["--things", "0"],
        ["--things", "999"],
        ["--minutes", "0"],
        ["--effort", "x"],
        ["--rate", "0"],
        ["--round", "-1"],
    ],
)
def test_arguments_that_make_no_sense_are_answered_in_one_line(words):
    with pytest.raises(SettingsError) as raised:
        main(words)
    assert "\n" not in str(raised.value)


@needs_words
def test_every_size_of_the_networks_can_be_built():
    tokenizer = train_tokenizer(700, captions=50)
    with torch.device("meta"):  # shapes alone: no time is spent on numbers
        for dial in (1, 2, 3, 4, 5, 6):
            networks.prior(dial)
            networks.prior_text(dial, tokenizer)
            networks.decoder(dial)
            networks.decoder_text(dial, tokenizer)


SMALL = ["--dial", "1", "--things", "4", "--scenes", "24", "--effort", "0.002", "--prompts", "8"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run at the smallest setting; its checkpoint is in "cocktail"."""
    folder = tmp_path_factory.mktemp("run")
    stages = ["draw", "vqgan", "encoder", "together", "decoder", "words", "prior", "judge", "export"]
    assert main([*stages, *SMALL, "--folder", str(folder), "--export", str(folder / "cocktail")]) == 0
    return folder


@pytest.mark.slow
@needs_font_and_words
def test_what_the_whole_recipe_exports_is_loaded_and_draws(trained: Path):
    model = load(str(trained / "cocktail" / "wuerstchen"))
    request = model.request(prompt="a cat", width=256, height=384, seed=1, prior_steps=2, decoder_steps=2)
    (result,) = model.generate(request)
    assert result.picture.size == (256, 384)
    assert model.limits.number("width").most == 384
    assert model.things == 4
    assert {"cat", "kitten", "watercolour", "left", "three", "rain"} <= set(model.knows)


@pytest.mark.slow
@needs_font_and_words
def test_pictures_drawn_for_other_arguments_are_not_gone_on_with(trained: Path):
    for name, value, said in (
        ("--things", "3", "with 4 things, not 3"),
        ("--scenes", "32", "with 24 scenes, not 32"),
        ("--effort", "0.0004", "scenes for the prior, not "),
    ):
        with pytest.raises(SetupError, match=said):
            main(["vqgan", *SMALL, "--folder", str(trained), name, value])


@pytest.mark.slow
@needs_font_and_words
def test_latents_are_computed_anew_once_the_vqgan_has_learned_more(trained: Path, tmp_path: Path):
    folder = shutil.copytree(trained, tmp_path / "run")

    def latents_after(steps: int) -> bytes:
        recipe = Recipe(folder, dial=1, things=4, scenes=24, vqgan_steps=steps)
        Training(recipe, CPU, None).vqgan()
        return (folder / "store" / "latents-256x256.npy").read_bytes()

    before = (folder / "store" / "latents-256x256.npy").read_bytes()
    assert latents_after(1) == before
    longer = latents_after(8)
    assert longer != before
    assert latents_after(8) == longer


@pytest.mark.slow
@needs_font_and_words
def test_an_evaluation_prints_its_table_and_keeps_it(trained: Path, capsys: pytest.CaptureFixture[str]):
    words = ["evaluate", *SMALL, "--folder", str(trained), "--export", str(trained / "cocktail")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed == (trained / "evaluate.md").read_text()
    for measure in MEASURES:
        (line,) = [line for line in printed.splitlines() if line.startswith(f"| {measure.name} |")]
        assert line.count("%") == 4


@pytest.mark.slow
@needs_font_and_words
def test_a_checkpoint_alone_can_be_taken_up_and_trained_further(trained: Path, tmp_path: Path):
    run, again = tmp_path / "run", tmp_path / "cocktail"
    run.mkdir()
    arguments = [*SMALL, "--folder", str(run)]
    assert main(["adopt", *arguments, "--export", str(trained / "cocktail")]) == 0
    assert main(["export", *arguments, "--export", str(again)]) == 0
    files = sorted(path.relative_to(again) for path in again.rglob("*.safetensors"))
    assert len(files) == 7
    for file in files:  # nothing is lost on the way there and back
        assert (again / file).read_bytes() == (trained / "cocktail" / file).read_bytes(), file

    # the judge that comes with a checkpoint judges it, without being trained again
    assert main(["evaluate", *arguments, "--export", str(again)]) == 0
    assert (run / "evaluate.md").exists()
    trained_encoder, encoder = networks.ImageEncoder(1), image_encoder(again)
    averaged(trained, "together", {"encoder": trained_encoder})
    picture = torch.rand(1, 3, 192, 192)
    assert torch.allclose(encoder(picture), trained_encoder(picture), atol=1e-2)  # stored in half precision
    assert not (run / "judge-store").exists()

    # decoder and prior begin a stage anew, from those weights; what they build on is not trained again
    before = {stage: torch.load(run / f"{stage}.pt", weights_only=True) for stage in ("decoder", "prior")}
    assert {state["step"] for state in before.values()} == {0}
    done = ("vqgan", "encoder", "together", "words", "judge")
    untouched = {stage: (run / f"{stage}.pt").read_bytes() for stage in done}
    longer = [*arguments, "--effort", "0.003"]
    assert main(["draw", "vqgan", "encoder", "together", *longer]) == 0
    other, slower = tmp_path / "another round", tmp_path / "slower"
    for folder, asked in ((other, ["--round", "1"]), (slower, ["--rate", "0.01"])):
        shutil.copytree(run, folder)
        assert main(["decoder", *longer, "--folder", str(folder), *asked]) == 0
    assert main(["decoder", "words", "prior", *longer]) == 0
    start = before["decoder"]["modules"]["decoder"]
    full, others, little = (decoder_of(folder) for folder in (run, other, slower))
    assert apart(full, others) > 0  # other scenes, and other words for them
    assert 0 < apart(little, start) < apart(full, start) / 2
    for stage, state in before.items():
        after = torch.load(run / f"{stage}.pt", weights_only=True)["modules"]
        assert any(not torch.equal(after[stage][key], tensor) for key, tensor in state["modules"][stage].items()), stage
    assert untouched == {stage: (run / f"{stage}.pt").read_bytes() for stage in untouched}

    with pytest.raises(SetupError, match="holds a run already"):
        main(["adopt", *longer, "--export", str(trained / "cocktail")])
    other = ["--dial", "1", "--folder", str(tmp_path / "other"), "--export", str(trained / "cocktail")]
    with pytest.raises(SetupError, match="say --things 4 --dial 1"):
        main(["adopt", "--things", "5", *other])
    save_file({"cells.weight": torch.zeros(9, 128, 1, 1)}, again / "judge.safetensors")
    with pytest.raises(SetupError, match="not this checkpoint's; remove it"):
        main(["adopt", *SMALL, "--folder", str(tmp_path / "other"), "--export", str(again)])
    (again / "judge.safetensors").unlink()
    config = dict(WuerstchenDiffNeXt.load_config(again / "wuerstchen" / "decoder"))
    deeper = WuerstchenDiffNeXt.from_config({**config, "blocks": [1, 1, 1, 2]})
    shutil.rmtree(again / "wuerstchen" / "decoder")
    deeper.save_pretrained(again / "wuerstchen" / "decoder")
    with pytest.raises(SetupError, match="decoder has other layers"):
        main(["adopt", *SMALL, "--folder", str(tmp_path / "other"), "--export", str(again)])
    broken = again / "wuerstchen-prior" / "prior" / "config.json"
    broken.unlink()
    with pytest.raises(SetupError, match="not complete"):
        main(["adopt", *SMALL, "--folder", str(tmp_path / "other"), "--export", str(again)])
    (again / "training.safetensors").write_bytes(b"torn")
    with pytest.raises(SetupError, match="damaged"):
        image_encoder(again)
    (again / "training.safetensors").unlink()
    assert image_encoder(again) is None
    with pytest.raises(SetupError, match="can be adopted"):
        main(["adopt", *SMALL, "--folder", str(tmp_path / "other"), "--export", str(again)])


@pytest.mark.slow
@needs_font_and_words
def test_every_stage_learns_on_whatever_device_and_in_half_precision(trained: Path):
    """No tensor is left on another device, and no type gets in another's way. The "meta" device stands for a GPU: it
    refuses tensors from elsewhere as one does."""
    losses = []

    def once(stage: Stage, folder: Path, device: torch.device, half: torch.dtype | None) -> dict[str, torch.nn.Module]:
        with torch.autocast("cpu", half, enabled=half is not None):
            loss = stage.loss(0)
        loss.backward()
        assert loss.device.type == device.type
        losses.append(loss)
        return stage.modules

    recipe = Recipe(trained, 1, 4, 24, 32, vqgan_batch=4, decoder_batch=1, prior_batch=1, captions=500)
    recipe = replace(recipe, vqgan_steps=1, together_steps=1)  # so many are done: what they made stays as it is
    for device, half in ((torch.device("meta"), None), (CPU, torch.bfloat16)):
        training = Training(recipe, device, half, once)
        vqgan = training.vqgan()
        training.encoder()
        training.together(vqgan)
        training.decoder(vqgan)
        training.words()
        training.prior()
    assert len(losses) == 12
    assert all(loss.isfinite() for loss in losses[6:])
