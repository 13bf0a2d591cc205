"""Adopting an exported checkpoint: nothing is lost, and decoder and prior are trained further."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from safetensors.torch import save_file

from wuerst_demo.errors import SetupError
from wuerst_demo.training.__main__ import main
from wuerst_demo.training.finetune import load_image_encoder
from wuerst_demo.training.models import ImageEncoder
from wuerst_demo.training.trainer import load_ema

pytestmark = pytest.mark.slow
FINISHED = ("vqgan", "encoder", "together", "words", "judge")
RESTARTED = ("decoder", "prior")


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    """A copy of the exported checkpoint that a test may damage."""
    return Path(shutil.copytree(trained / "cocktail", tmp_path / "checkpoint"))


@pytest.fixture
def adopted(trained: Path, tmp_path: Path, small_options) -> Path:
    """The folder of a run that has adopted the exported checkpoint."""
    folder = tmp_path / "adopted"
    folder.mkdir()
    assert main(["adopt", *small_options, "--folder", str(folder), "--export", str(trained / "cocktail")]) == 0
    return folder


def states(folder: Path, *stages: str) -> dict[str, dict]:
    return {stage: torch.load(folder / f"{stage}.pt", weights_only=True) for stage in stages}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return sum((one[key] - other[key]).abs().sum().item() for key in one)


def test_an_adopted_checkpoint_is_exported_unchanged(trained: Path, adopted: Path, tmp_path: Path, small_options):
    again = tmp_path / "again"
    assert main(["export", *small_options, "--folder", str(adopted), "--export", str(again)]) == 0
    files = sorted(path.relative_to(again) for path in again.rglob("*.safetensors"))
    assert len(files) == 7
    for file in files:
        assert (again / file).read_bytes() == (trained / "cocktail" / file).read_bytes(), file


def test_an_adopted_checkpoint_is_evaluated_by_its_own_classifier(trained: Path, adopted: Path, small_options):
    options = [*small_options, "--folder", str(adopted), "--export", str(trained / "cocktail")]
    assert main(["evaluate", *options]) == 0
    assert (adopted / "evaluate.md").exists()
    assert not (adopted / "judge-store").exists()


def test_the_image_encoder_is_the_trained_one_in_half_precision(trained: Path):
    expected, encoder = ImageEncoder(1), load_image_encoder(trained / "cocktail")
    load_ema(trained, "together", {"encoder": expected})
    images = torch.rand(1, 3, 192, 192)
    assert torch.allclose(encoder(images), expected(images), atol=1e-2)


def test_decoder_and_prior_are_trained_further_and_nothing_else(adopted: Path, tmp_path: Path, small_options):
    before = states(adopted, *RESTARTED)
    assert {state["step"] for state in before.values()} == {0}
    untouched = {stage: (adopted / f"{stage}.pt").read_bytes() for stage in FINISHED}
    options = [*small_options, "--effort", "0.003", "--folder", str(adopted)]
    assert main(["draw", "vqgan", "encoder", "together", *options]) == 0
    other_round, slow = tmp_path / "round", tmp_path / "slow"
    for folder, changed in ((other_round, ["--round", "1"]), (slow, ["--rate", "0.01"])):
        shutil.copytree(adopted, folder)
        assert main(["decoder", *options, "--folder", str(folder), *changed]) == 0
    assert main(["decoder", "words", "prior", *options]) == 0
    start = before["decoder"]["modules"]["decoder"]
    full, other, little = (
        states(folder, "decoder")["decoder"]["modules"]["decoder"] for folder in (adopted, other_round, slow)
    )
    assert distance(full, other) > 0  # other scenes, and other captions
    assert 0 < distance(little, start) < distance(full, start) / 2
    after = states(adopted, *RESTARTED)
    for stage in RESTARTED:
        assert distance(after[stage]["modules"][stage], before[stage]["modules"][stage]) > 0, stage
    assert untouched == {stage: (adopted / f"{stage}.pt").read_bytes() for stage in FINISHED}


def test_a_folder_with_a_run_is_not_overwritten(trained: Path, adopted: Path, small_options):
    with pytest.raises(SetupError, match="holds a run already"):
        main(["adopt", *small_options, "--folder", str(adopted), "--export", str(trained / "cocktail")])


def deepen(checkpoint: Path) -> None:
    folder = checkpoint / "wuerstchen" / "decoder"
    config = dict(WuerstchenDiffNeXt.load_config(folder))
    shutil.rmtree(folder)
    WuerstchenDiffNeXt.from_config({**config, "blocks": [1, 1, 1, 2]}).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        (lambda path: None, ["--things", "5"], "use --things 4 --dial 1"),
        (
            lambda path: save_file({"cells.weight": torch.zeros(9, 128, 1, 1)}, path / "judge.safetensors"),
            [],
            "not this checkpoint's; remove it",
        ),
        (deepen, [], "decoder of .* has other layers"),
        (lambda path: (path / "wuerstchen-prior" / "prior" / "config.json").unlink(), [], "incomplete"),
        (lambda path: (path / "training.safetensors").unlink(), [], "can be adopted"),
    ],
    ids=["things", "classifier", "layers", "incomplete", "no training file"],
)
def test_other_or_damaged_checkpoints_are_rejected(checkpoint, tmp_path, small_options, damage, options, message):
    damage(checkpoint)
    folder = tmp_path / "run"
    with pytest.raises(SetupError, match=message):
        main(["adopt", *small_options, *options, "--folder", str(folder), "--export", str(checkpoint)])
    assert not list(folder.glob("*.pt"))


def test_a_missing_image_encoder_is_none_and_a_damaged_one_an_error(checkpoint: Path):
    file = checkpoint / "training.safetensors"
    file.write_bytes(b"torn")
    with pytest.raises(SetupError, match="damaged"):
        load_image_encoder(checkpoint)
    file.unlink()
    assert load_image_encoder(checkpoint) is None
