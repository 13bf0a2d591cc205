"""Style and size presets."""

import tomllib
from pathlib import Path

import pytest

from tests.fakes.web import LIMITS
from wuerst_demo.request import Limits
from wuerst_demo.web.generate import handlers
from wuerst_demo.web.generate.presets import MAX_RATIO_DEVIATION, apply_style, list_size_presets, load_styles
from wuerst_demo.web.shared.static_files import STATIC_FOLDER

KNOWS = ("cat", "hot dog", "fox", "in", "the", "snow", "at", "night")
PUBLISHED = Limits().narrow(
    width={"least": 1024, "most": 2048, "default": 1024}, height={"least": 1024, "most": 2048, "default": 1024}
)
COCKTAIL = Limits().narrow(
    width={"least": 256, "most": 384, "default": 256}, height={"least": 256, "most": 384, "default": 256}
)


def test_a_small_checkpoint_gets_only_styles_within_its_vocabulary():
    every = load_styles(STATIC_FOLDER / "style_presets.toml")
    assert len({style.name for style in every}) == len(every) >= 8
    known = load_styles(STATIC_FOLDER / "style_presets.toml", KNOWS)
    assert [style.words for style in known] == ["at night", "in the snow"]
    for style in every:
        LIMITS.request({"prompt": apply_style("a cat", style.words)})


@pytest.mark.parametrize("text", ["", "[[style]]\nname = 'only'", "[[style]]\nname = 'a'\nwords = 'b'\nmore = 1", "{"])
def test_a_malformed_style_file_is_rejected(tmp_path: Path, text):
    (tmp_path / "style_presets.toml").write_text(text)
    with pytest.raises((KeyError, TypeError, tomllib.TOMLDecodeError)):
        load_styles(tmp_path / "style_presets.toml")


def test_a_style_appends_its_words_once():
    assert apply_style("a cat", "oil painting, rich colours") == "a cat, oil painting, rich colours"
    assert apply_style("a cat,  ", "at night") == "a cat at night"
    assert apply_style("a cat at night", "at night") == "a cat at night"
    assert apply_style("", "at night") == "at night"
    assert handlers.add_style("a cat", "") == ("a cat", "")
    assert handlers.add_style("a cat", "at night") == ("a cat at night", "")


@pytest.mark.parametrize("limits", [COCKTAIL, PUBLISHED, LIMITS])
def test_every_size_preset_is_valid_and_has_its_aspect_ratio(limits):
    for size in list_size_presets(limits):
        limits.request({"width": size.width, "height": size.height})
        across, down = map(int, size.name.split(":"))
        assert abs(size.width * down / (size.height * across) - 1) < MAX_RATIO_DEVIATION


def test_size_presets_follow_the_checkpoints_limits():
    assert [size.name for size in list_size_presets(COCKTAIL)] == ["1:1", "3:2", "2:3"]
    assert [size.name for size in list_size_presets(PUBLISHED)] == ["1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16"]
    assert list_size_presets(LIMITS.narrow(width={"least": 256, "most": 256})) == ()
