"""The export: it needs trained stages, and what it writes can be loaded."""

from pathlib import Path

import pytest

from wuerst_demo.api import load
from wuerst_demo.errors import SetupError
from wuerst_demo.training.config import DEFAULTS, TrainingConfig
from wuerst_demo.training.export import export, known_vocabulary
from wuerst_demo.training.tokenizer import WORD_LIST, train_tokenizer


@pytest.mark.skipif(not WORD_LIST.exists(), reason="needs Debian's wamerican")
def test_a_run_without_trained_stages_cannot_be_exported(tmp_path: Path):
    with pytest.raises(SetupError, match="'vqgan' has not been trained"):
        export(TrainingConfig(tmp_path, scale=1), train_tokenizer(700, captions=50), tmp_path / "cocktail")


def test_the_vocabulary_has_every_name_first_and_every_word_once():
    config = TrainingConfig(Path("unused"), things=4)
    words = known_vocabulary(config)
    names = [name for thing in config.known for name in thing.names]
    assert words[: len(names)] == names
    assert len(words) == len(set(words))
    assert {"watercolour", "left", "three", "rain", "kittens"} <= set(words)


def test_every_example_needs_only_things_that_exist():
    known = {thing.name for thing in TrainingConfig(Path("unused")).known}
    assert all(known.issuperset(names) for names in DEFAULTS["checkpoint"]["examples"].values())


@pytest.mark.slow
def test_an_exported_checkpoint_can_be_loaded_and_generates(trained: Path):
    model = load(str(trained / "cocktail" / "wuerstchen"))
    request = model.request(prompt="a cat", width=256, height=384, seed=1, prior_steps=2, decoder_steps=2)
    (result,) = model.generate(request)
    assert result.image.size == (256, 384)
    assert model.limits.number("width").most == 384
    assert model.info.object_count == 4
    assert {"cat", "kitten", "watercolour", "left", "three", "rain"} <= set(model.info.vocabulary)
