"""The checkpoint that ships: it fits its limits, loads by the ordinary way, and draws what the prompt says."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wuerst_demo.api import load
from wuerst_demo.events import Progress, Result
from wuerst_demo.model import colours
from wuerst_demo.model.files import locate
from wuerst_demo.training.adopt import adopt
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.things import THINGS

COCKTAIL = Path(__file__).parents[1] / "assets" / "cocktail"
MIB = 2**20


@pytest.fixture(scope="module")
def wuerstchen():
    return load()


def drawn(wuerstchen, prompt, seed=1, **more):
    """The picture as floats in 0..1, (height, width, 3)."""
    (result,) = wuerstchen.generate(wuerstchen.request(prompt=prompt, seed=seed, **more))
    return np.asarray(result.picture, np.float32) / 255


def edge(pixels):
    """The mean colour of the picture's upper corners, where only background is."""
    return np.concatenate([pixels[:48, :32], pixels[:48, -32:]]).mean((0, 1))


def middle(pixels):
    """The mean colour of the picture's middle, where the thing is."""
    height, width = pixels.shape[:2]
    return pixels[height // 2 - 24 : height // 2 + 40, width // 2 - 32 : width // 2 + 32].mean((0, 1))


def test_the_checkpoint_is_small_enough_for_a_repository_and_a_space():
    sizes = [path.stat().st_size for path in COCKTAIL.rglob("*") if path.is_file()]
    assert sum(sizes) < 64 * MIB
    assert max(sizes) < 10_000_000


def test_the_checkpoint_can_be_trained_further(tmp_path):
    adopt(Recipe(tmp_path), COCKTAIL)
    stages = {path.stem for path in tmp_path.glob("*.pt")}
    assert stages == {"vqgan", "encoder", "together", "decoder", "words", "prior", "judge"}


def test_readme_card_and_checkpoint_agree_on_how_much_it_knows(wuerstchen):
    assert wuerstchen.things == len(THINGS)
    for text in (COCKTAIL.parents[1] / "README.md", COCKTAIL / "README.md", COCKTAIL / "wuerstchen" / "README.md"):
        assert re.search(rf"\b{len(THINGS)} (things|of them)|[Tt]hings, {len(THINGS)} ", text.read_text()), text


def test_a_square_wide_tall_or_large_picture_has_the_size_that_was_asked_for(wuerstchen):
    for width, height in ((256, 256), (384, 256), (256, 384), (384, 384)):
        pixels = drawn(wuerstchen, "a fish", width=width, height=height, prior_steps=2, decoder_steps=2)
        assert pixels.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("colour", "rgb"), [("red", (1, 0, 0)), ("green", (0, 1, 0)), ("blue", (0, 0, 1)), ("yellow", (1, 1, 0))]
)
def test_the_prompt_decides_the_background(wuerstchen, colour, rgb):
    seen = edge(drawn(wuerstchen, f"a ghost on a {colour} background"))
    asked = np.array(rgb, bool)
    assert seen[asked].min() > seen[~asked].max() + 0.15


def test_day_is_brighter_than_night(wuerstchen):
    day, night = (drawn(wuerstchen, f"a house on the grass {time}").mean() for time in ("by day", "at night"))
    assert day > night + 0.2


@pytest.mark.parametrize(
    ("thing", "rgb"), [("strawberry", (1, 0, 0)), ("tree", (0, 1, 0)), ("fish", (0, 0, 1)), ("heart", (1, 0, 0))]
)
def test_the_prompt_decides_the_thing(wuerstchen, thing, rgb):
    seen = middle(drawn(wuerstchen, f"a {thing} on a white background"))
    asked = np.array(rgb, bool)
    assert seen[asked].min() > seen[~asked].max()


def test_things_stand_on_the_side_that_the_prompt_says(wuerstchen):
    """A red thing and a green one: which side is the redder tells where each stands."""
    halves = {}
    for prompt in ("a strawberry to the left of a cactus", "a cactus to the left of a strawberry"):
        pixels = drawn(wuerstchen, f"{prompt} on a white background")
        redness = pixels[..., 0] - pixels[..., 1]
        halves[prompt] = redness[:, :128].mean() - redness[:, 128:].mean()
    left, right = halves.values()
    assert left > 0.05 > -0.05 > right


def test_black_and_white_has_hardly_any_colour(wuerstchen):
    def colourful(prompt):
        pixels = drawn(wuerstchen, prompt)
        return (pixels.max(-1) - pixels.min(-1)).mean()

    prompt = "a fox on the beach at sunset"
    assert colourful(f"{prompt}, black and white") < 0.3 * colourful(prompt)


def test_a_big_thing_is_larger_than_a_small_one(wuerstchen):
    def covered(prompt):
        pixels = drawn(wuerstchen, prompt)
        return (np.abs(pixels - edge(pixels)).max(-1) > 0.25).mean()

    assert covered("a big heart on a white background") > 1.5 * covered("a small heart on a white background")


def test_a_weighted_word_moves_the_picture_towards_what_it_says(wuerstchen):
    light, plain, heavy = (
        drawn(wuerstchen, f"a house on the grass {night}").mean()
        for night in ("(at night)0.4", "at night", "(at night)1.4")
    )
    assert light > plain
    assert light > heavy


def test_a_negative_prompt_takes_away_what_it_names(wuerstchen):
    """Where the prompt leaves place and time open: without snow it gets darker, without night lighter."""
    without_snow, plain, without_night = (
        drawn(wuerstchen, "a house", negative_prompt=away).mean() for away in ("in the snow", "", "at night")
    )
    assert without_snow + 0.1 < plain < without_night - 0.1


def test_the_same_request_draws_the_same_picture_and_another_seed_another(wuerstchen):
    first, again, other = (drawn(wuerstchen, "a car in the city", seed) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


def test_every_example_is_about_things_it_knows(wuerstchen):
    card = (COCKTAIL / "wuerstchen" / "README.md").read_text()
    known = [line[2:].split(", ") for line in card.splitlines() if line.startswith("- ")]
    assert len(known) >= 20
    for example in wuerstchen.examples:
        assert any(name in example for names in known for name in names), example


def test_it_says_which_words_it_has_learned(wuerstchen):
    assert len(wuerstchen.knows) > wuerstchen.things >= 20
    assert {"cat", "fire truck", "snow", "night", "yellow", "background"} <= set(wuerstchen.knows)
    seen = {word for phrase in wuerstchen.knows for word in phrase.split()}
    for example in wuerstchen.examples:
        assert set(example.lower().replace(",", "").split()) <= seen, example


def test_the_shipped_colours_of_previews_are_those_of_the_shipped_weights():
    """After a training, `python -m wuerst_demo train colours` fits them anew."""
    located = locate(None)
    assert colours.read(colours.beside(located), colours.fingerprint(located)) is not None


def test_the_last_preview_looks_like_the_picture(wuerstchen):
    # steps enough: of the few that are usual, previews may show the first ones alone, since they come at intervals
    steps = {"prior_steps": 40, "decoder_steps": 40}
    events = list(wuerstchen.run(wuerstchen.request(prompt="a fox in the snow at night", seed=5, **steps)))
    previews = {event.stage: event.preview for event in events if isinstance(event, Progress) and event.preview}
    (result,) = [event for event in events if isinstance(event, Result)]
    for stage, share in (("decoder", 0.5), ("prior", 0.9)):  # of how far one colour, the mean, is from the picture
        shown = Image.open(io.BytesIO(previews[stage]))
        pixels = np.asarray(shown, float) / 255
        picture = np.asarray(result.picture.resize(shown.size, Image.Resampling.BOX), float) / 255
        assert np.abs(pixels - picture).mean() < share * np.abs(picture - picture.mean((0, 1))).mean()
