"""How a checkpoint is judged: by fresh prompts, by what a classifier says, and in a table that counts right."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from wuerst_demo.api import load
from wuerst_demo.training.drawing import FONT, draw
from wuerst_demo.training.evaluate import (
    CHECKPOINT,
    CODE,
    DECODER,
    KINDS,
    LOOKS,
    MEASURES,
    Case,
    cases,
    drawn,
    looks,
    table,
)
from wuerst_demo.training.judge import (
    BACKGROUNDS,
    MOMENTS,
    Judge,
    Verdict,
    _in_other_styles,
    _targets,
    judged,
    train_judge,
)
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import Item, Scene, never_drawn
from wuerst_demo.training.styles import restyle
from wuerst_demo.training.things import THINGS

BY_NAME = {thing.name: thing for thing in THINGS}
CAT, DOG = BY_NAME["cat"], BY_NAME["dog"]
FULL = Recipe(Path("unused"), things=len(THINGS))
ALONE = Scene((Item(CAT, 0.5, 0.5, 128),), "grass", "night", 1)
PAIR = Scene((Item(CAT, 0.25, 0.5, 128), Item(DOG, 0.75, 0.5, 128)), "grass", "day", 1)
COLUMN = Scene((Item(CAT, 0.5, 0.25, 128), Item(DOG, 0.5, 0.75, 128)), "grass", "day", 1, column=True)


def verdict(place="grass", time="day", style="", **things):
    return Verdict(things, place, time, style, {})


def line(name, asked, verdicts):
    """The cells of a measure's line: prompts, least, the checkpoint, the code."""
    perfect = [verdict() for _ in asked]
    (found,) = [
        row for row in table(asked, {CHECKPOINT: verdicts, CODE: perfect}).splitlines() if row.startswith(f"| {name}")
    ]
    return [cell.strip() for cell in found.split("|")[2:-1]]


def test_more_than_five_hundred_prompts_are_asked_and_always_the_same():
    asked = cases(FULL, 550)
    assert len(asked) >= 500
    assert asked == cases(FULL, 550)
    assert len({case.prompt for case in asked}) > 0.8 * len(asked)


def test_every_kind_of_prompt_describes_scenes_of_its_kind():
    asked = cases(FULL, 550)
    assert {case.kind for case in asked} == set(KINDS)
    for case in asked:
        assert never_drawn(case.scene) == (case.kind == "new")
        if case.kind != "new":  # among them are things in styles that they were never drawn in
            assert bool(case.scene.style) == (case.kind == "style")
        if case.kind == "two":
            assert case.scene.kind == "pair"
            words = ("left", "right", "above", "below", "over", "under")
            assert any(word in case.prompt.lower() for word in words), case.prompt
        if case.kind == "reworded":
            assert any(name in case.prompt.lower() for name in case.scene.items[0].thing.names[1:]), case.prompt


def test_a_world_without_pairs_is_not_asked_for_two_things():
    alone = Recipe(Path("unused"), things=1)
    assert {case.kind for case in cases(alone, 40)} == {"one", "style", "new", "reworded"}


def test_a_thing_counts_where_it_is_seen():
    asked = [Case("a cat", ALONE, "one")] * 4
    seen = [verdict(cat=(0.5, 0.5))] * 3 + [verdict(dog=(0.5, 0.5))]
    assert line("the named thing", asked, seen) == ["4", "95%", "75.0%", "0.0%"]


def test_things_alone_are_counted_by_what_they_look_like_each_once():
    ways = {"small": Item(CAT, 0.5, 0.5, 64, "small"), "big": Item(CAT, 0.5, 0.5, 192, "big")}
    ways |= {"of ordinary size": ALONE.items[0], "in a colour": Item(CAT, 0.5, 0.5, 192, "big", "blue")}
    asked = [
        Case("a cat", replace(ALONE, items=(item,)), kind) for item in ways.values() for kind in ("one", "reworded")
    ]
    asked += [Case("a cat", replace(ALONE, style="neon"), "style"), Case("a cat and a dog", PAIR, "two")]
    seen = [verdict(cat=(0.5, 0.5)) if "small" in case.scene.items[0].word else verdict() for case in asked]
    rows = looks(asked, {CHECKPOINT: seen, CODE: [verdict(cat=(0.5, 0.5)) for _ in asked]}).splitlines()[2:]
    assert len(rows) == len(LOOKS) == len(ways)
    for row in rows:
        (way,) = [name for name in ways if row.startswith(f"| {name}")]
        assert [cell.strip() for cell in row.split("|")[2:-1]] == [
            "2",
            "100.0%" if way == "small" else "0.0%",
            "100.0%",
        ]


def test_looks_that_nobody_asked_for_have_no_line():
    assert len(looks([Case("a cat", ALONE, "one")], {CODE: [verdict()]}).splitlines()) == 3


def test_both_things_and_their_sides_are_counted_apart():
    asked = [Case("", PAIR, "two"), Case("", PAIR, "two"), Case("", PAIR, "two"), Case("", COLUMN, "two")]
    seen = [
        verdict(cat=(0.2, 0.5), dog=(0.8, 0.5)),
        verdict(cat=(0.8, 0.5), dog=(0.2, 0.5)),
        verdict(cat=(0.2, 0.5)),
        verdict(cat=(0.9, 0.2), dog=(0.1, 0.8)),
    ]
    assert line("both named things", asked, seen)[2] == "75.0%"
    assert line("on the right side", asked, seen)[2] == "50.0%"


def test_background_time_and_style_are_compared():
    asked = [Case("", ALONE, "one"), Case("", ALONE, "one")]
    seen = [verdict("grass", "day"), verdict("beach", "night")]
    assert line("the right background", asked, seen)[2] == "50.0%"
    assert line("the right time", asked, seen)[2:] == ["50.0%", "0.0%"]
    styled = [Case("", Scene(ALONE.items, "grass", "day", 1, "neon"), "style")]
    assert line("the right style", styled, [verdict(style="neon")])[2] == "100.0%"


def test_lines_about_which_the_judge_is_unsure_are_named_below_the_table():
    asked = [Case("a cat", ALONE, "one")] * 20
    right, wrong = verdict("grass", "night", cat=(0.5, 0.5)), verdict("grass", "day", cat=(0.5, 0.5))
    assert "The judge itself" not in table(asked, {CHECKPOINT: [wrong] * 20, CODE: [right] * 20})
    said = table(asked, {CHECKPOINT: [right] * 20, CODE: [right] * 19 + [wrong]}).splitlines()[-1]
    assert "98%" in said
    assert said.endswith("the right time or weather.")


def test_the_decoder_alone_has_a_column_of_its_own():
    asked = [Case("a cat", ALONE, "one")] * 2
    seen, missed = verdict(cat=(0.5, 0.5)), verdict()
    found = table(asked, {CHECKPOINT: [missed] * 2, DECODER: [seen, missed], CODE: [seen] * 2})
    assert [cell.strip() for cell in found.splitlines()[2].split("|")[4:-1]] == ["0.0%", "50.0%", "100.0%"]
    assert {line.count("|") for line in found.splitlines() if line.startswith("|")} == {7}


def test_every_measure_is_of_prompts_that_are_asked():
    assert {kind for measure in MEASURES for kind in measure.kinds} == set(KINDS)


def test_a_verdict_names_the_thing_whose_cell_is_sure_and_says_where():
    recipe = Recipe(Path("unused"), things=2)

    class Sure(Judge):
        """Sees a dog in the sixth cell of the second row, on the beach."""

        def forward(self, pictures):
            cells = torch.zeros(1, 3, 8, 8)
            cells[0, 0] = 9
            cells[0, 2, 1, 5] = 20
            names = [torch.zeros(1, count) for count in self.split]
            names[0][0, BACKGROUNDS.index("beach")] = 5
            names[1][0, MOMENTS.index("night")] = 5
            return cells, tuple(names)

    (found,) = judged(Sure(8, 2), recipe, [np.zeros((256, 384, 3), np.uint8)])
    assert found.things == {"dog": (5.5 / 8, 1.5 / 8)}
    assert (found.place, found.time, found.style) == ("beach", "night", "")
    assert found.times["night"] == max(found.times.values())


def test_a_cell_may_say_the_thing_in_its_middle_and_its_neighbours_that_or_nothing():
    allowed, weight = _targets([PAIR], Recipe(Path("unused"), things=2))  # a cat's middle in (4, 2), a dog's in (4, 6)
    said = {
        (row, column): set(allowed[0, :, row, column].nonzero().flatten().tolist())
        for row in range(8)
        for column in range(8)
    }
    nothing, cat, dog = 0, 1, 2
    assert said[4, 2] == {cat}
    assert said[4, 6] == {dog}
    assert said[3, 1] == said[5, 3] == {nothing, cat}
    assert said[3, 7] == said[5, 5] == {nothing, dog}
    assert said[4, 4] == said[0, 0] == said[7, 2] == {nothing}
    assert weight[0, 4, 2] == weight[0, 4, 6] == 1
    assert weight[0, 4, 4] < 0.1


def test_a_decoder_that_is_given_z_does_not_care_what_the_prior_makes():
    model = load("cocktail", dtype="float32", device="cpu")
    settings = {"prompt": "a cat", "width": 256, "height": 256, "prior_steps": 1, "decoder_steps": 2, "seed": 1}
    request = model.request(**settings)
    first, second = torch.randn(2, 1, 16, 6, 6, generator=torch.Generator().manual_seed(5))
    pictures = drawn(model, [request] * 2, [first, second])
    assert not alike(*pictures)
    assert all(map(alike, pictures, reversed(drawn(model, [request] * 2, [second, first]))))
    assert alike(*drawn(model, [replace(request, prior_guidance=8.0)], [first]), pictures[0])
    assert not alike(*drawn(model, [request]), pictures[0])


def alike(one, other):
    """Whether two pictures are the same, as far as batches of other sizes allow."""
    return np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.slow
@pytest.mark.skipif(not FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
def test_a_judge_of_a_small_world_learns_to_see_what_is_drawn(tmp_path):
    recipe = Recipe(tmp_path, dial=1, things=3, judge_width=16, judge_scenes=600, judge_steps=500, judge_batch=12)
    judge = train_judge(recipe, torch.device("cpu"))
    asked = cases(recipe, 120)
    seen = judged(judge, recipe, [np.asarray(draw(case.scene, 256, 256)) for case in asked])
    shown = [{item.thing.name for item in case.scene.items} for case in asked]
    right = [names <= set(verdict.things) for names, verdict in zip(shown, seen, strict=True)]
    others = [bool(set(verdict.things) - names) for names, verdict in zip(shown, seen, strict=True)]
    assert np.mean(right) > 0.85
    assert np.mean(others) < 0.15  # it does not say everything of everything


@pytest.mark.skipif(not FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
def test_some_plain_pictures_are_put_into_styles_for_the_judge_and_are_said_to_be():
    scenes = [replace(ALONE, detail=k, style="neon" if k % 4 == 0 else "") for k in range(40)]
    pictures = [draw(scene, 256, 256) for scene in scenes]
    given = torch.stack([torch.from_numpy(np.array(picture)) for picture in pictures]).permute(0, 3, 1, 2).float() / 255
    restyled, told = _in_other_styles(given, scenes, Random(1))
    changed = [k for k, (before, after) in enumerate(zip(scenes, told, strict=True)) if before != after]
    assert 2 < len(changed) < 15
    for k, (scene, pixels) in enumerate(zip(told, restyled, strict=True)):
        assert k not in changed or not scenes[k].style
        expected = restyle(pictures[k], scene.style if k in changed else "")
        assert np.array_equal((pixels.permute(1, 2, 0) * 255).round().byte().numpy(), np.asarray(expected))


@pytest.mark.skipif(not FONT.exists(), reason="needs Debian's fonts-noto-color-emoji")
def test_checkpoints_of_any_size_are_judged_by_a_judge_of_one_size(tmp_path):
    small, large = (
        train_judge(Recipe(tmp_path / str(dial), dial, 3, judge_scenes=8, judge_steps=1), torch.device("cpu"))
        for dial in (1, 4)
    )
    assert [p.shape for p in small.parameters()] == [p.shape for p in large.parameters()]
