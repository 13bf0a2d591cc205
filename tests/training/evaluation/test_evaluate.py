"""The evaluation: its prompts, its tables, and images from a given z."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wuerst_demo.api import load
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.data.scenes import Item, Scene, is_held_back
from wuerst_demo.training.data.vocabulary import THINGS
from wuerst_demo.training.evaluation.classifier import ClassifierOutput
from wuerst_demo.training.evaluation.evaluate import (
    APPEARANCES,
    CASCADE_COLUMN,
    DECODER_COLUMN,
    METRICS,
    PROMPT_KINDS,
    REFERENCE_COLUMN,
    EvaluationPrompt,
    appearance_table,
    evaluation_prompts,
    generate_images,
    metric_table,
)

CAT, DOG = THINGS[:2]
FULL = TrainingConfig(Path("unused"))
ALONE = Scene((Item(CAT, 0.5, 0.5, 128),), "grass", "night", 1)
PAIR = Scene((Item(CAT, 0.25, 0.5, 128), Item(DOG, 0.75, 0.5, 128)), "grass", "day", 1)
COLUMN = Scene((Item(CAT, 0.5, 0.25, 128), Item(DOG, 0.5, 0.75, 128)), "grass", "day", 1, column=True)


def output(place="grass", time="day", style="", **things):
    return ClassifierOutput(things, place, time, style, {})


def row(name, prompts, outputs):
    """The cells of a measure's line: prompts, least, the checkpoint, the code."""
    perfect = [output() for _ in prompts]
    (found,) = [
        row
        for row in metric_table(prompts, {CASCADE_COLUMN: outputs, REFERENCE_COLUMN: perfect}).splitlines()
        if row.startswith(f"| {name}")
    ]
    return [cell.strip() for cell in found.split("|")[2:-1]]


def test_there_are_many_prompts_and_always_the_same():
    prompts = evaluation_prompts(FULL, 550)
    assert len(prompts) >= 500
    assert prompts == evaluation_prompts(FULL, 550)
    assert len({case.prompt for case in prompts}) > 0.8 * len(prompts)


def test_every_kind_of_prompt_describes_scenes_of_its_kind():
    prompts = evaluation_prompts(FULL, 550)
    assert {case.kind for case in prompts} == set(PROMPT_KINDS)
    for case in prompts:
        assert is_held_back(case.scene) == (case.kind == "new")
        if case.kind != "new":  # among them are things in styles that they were never shown in
            assert bool(case.scene.style) == (case.kind == "style")
        if case.kind == "two":
            assert case.scene.kind == "pair"
            words = ("left", "right", "above", "below", "over", "under")
            assert any(word in case.prompt.lower() for word in words), case.prompt
        if case.kind == "reworded":
            assert any(name in case.prompt.lower() for name in case.scene.items[0].thing.names[1:]), case.prompt


def test_a_single_thing_has_no_prompts_for_two():
    alone = TrainingConfig(Path("unused"), things=1)
    assert {case.kind for case in evaluation_prompts(alone, 40)} == {"one", "style", "new", "reworded"}


def test_a_thing_counts_if_it_is_present():
    prompts = [EvaluationPrompt("a cat", ALONE, "one")] * 4
    seen = [output(cat=(0.5, 0.5))] * 3 + [output(dog=(0.5, 0.5))]
    assert row("the named thing", prompts, seen) == ["4", "95%", "75.0%", "0.0%"]


def test_single_things_are_counted_once_by_their_appearance():
    ways = {"small": Item(CAT, 0.5, 0.5, 64, "small"), "big": Item(CAT, 0.5, 0.5, 192, "big")}
    ways |= {"of ordinary size": ALONE.items[0], "in a colour": Item(CAT, 0.5, 0.5, 192, "big", "blue")}
    prompts = [
        EvaluationPrompt("a cat", replace(ALONE, items=(item,)), kind)
        for item in ways.values()
        for kind in ("one", "reworded")
    ]
    prompts += [
        EvaluationPrompt("a cat", replace(ALONE, style="neon"), "style"),
        EvaluationPrompt("a cat and a dog", PAIR, "two"),
    ]
    seen = [output(cat=(0.5, 0.5)) if "small" in case.scene.items[0].word else output() for case in prompts]
    rows = appearance_table(
        prompts, {CASCADE_COLUMN: seen, REFERENCE_COLUMN: [output(cat=(0.5, 0.5)) for _ in prompts]}
    ).splitlines()[2:]
    assert len(rows) == len(APPEARANCES) == len(ways)
    for row in rows:
        (way,) = [name for name in ways if row.startswith(f"| {name}")]
        assert [cell.strip() for cell in row.split("|")[2:-1]] == [
            "2",
            "100.0%" if way == "small" else "0.0%",
            "100.0%",
        ]


def test_appearances_without_prompts_have_no_row():
    assert (
        len(appearance_table([EvaluationPrompt("a cat", ALONE, "one")], {REFERENCE_COLUMN: [output()]}).splitlines())
        == 3
    )


def test_things_and_their_sides_are_counted_separately():
    prompts = [
        EvaluationPrompt("", PAIR, "two"),
        EvaluationPrompt("", PAIR, "two"),
        EvaluationPrompt("", PAIR, "two"),
        EvaluationPrompt("", COLUMN, "two"),
    ]
    seen = [
        output(cat=(0.2, 0.5), dog=(0.8, 0.5)),
        output(cat=(0.8, 0.5), dog=(0.2, 0.5)),
        output(cat=(0.2, 0.5)),
        output(cat=(0.9, 0.2), dog=(0.1, 0.8)),
    ]
    assert row("both named things", prompts, seen)[2] == "75.0%"
    assert row("on the right side", prompts, seen)[2] == "50.0%"


def test_background_time_and_style_are_compared():
    prompts = [EvaluationPrompt("", ALONE, "one"), EvaluationPrompt("", ALONE, "one")]
    seen = [output("grass", "day"), output("beach", "night")]
    assert row("the right background", prompts, seen)[2] == "50.0%"
    assert row("the right time", prompts, seen)[2:] == ["50.0%", "0.0%"]
    styled = [EvaluationPrompt("", Scene(ALONE.items, "grass", "day", 1, "neon"), "style")]
    assert row("the right style", styled, [output(style="neon")])[2] == "100.0%"


def test_metrics_on_which_the_classifier_is_unreliable_are_listed():
    prompts = [EvaluationPrompt("a cat", ALONE, "one")] * 20
    right, wrong = output("grass", "night", cat=(0.5, 0.5)), output("grass", "day", cat=(0.5, 0.5))
    reliable = {CASCADE_COLUMN: [wrong] * 20, REFERENCE_COLUMN: [right] * 20}
    assert "The classifier itself" not in metric_table(prompts, reliable)
    unreliable = {CASCADE_COLUMN: [right] * 20, REFERENCE_COLUMN: [right] * 19 + [wrong]}
    note = metric_table(prompts, unreliable).splitlines()[-1]
    assert "98%" in note
    assert note.endswith("the right time or weather.")


def test_the_decoder_alone_has_a_column():
    prompts = [EvaluationPrompt("a cat", ALONE, "one")] * 2
    seen, missed = output(cat=(0.5, 0.5)), output()
    found = metric_table(
        prompts, {CASCADE_COLUMN: [missed] * 2, DECODER_COLUMN: [seen, missed], REFERENCE_COLUMN: [seen] * 2}
    )
    assert [cell.strip() for cell in found.splitlines()[2].split("|")[4:-1]] == ["0.0%", "50.0%", "100.0%"]
    assert {line.count("|") for line in found.splitlines() if line.startswith("|")} == {7}


def test_every_kind_of_prompt_has_a_metric():
    assert {kind for measure in METRICS for kind in measure.kinds} == set(PROMPT_KINDS)


def test_with_a_given_z_the_prior_does_not_matter():
    model = load("cocktail", dtype="float32", device="cpu")
    settings = {"prompt": "a cat", "width": 256, "height": 256, "prior_steps": 1, "decoder_steps": 2, "seed": 1}
    request = model.request(**settings)
    first, second = torch.randn(2, 1, 16, 6, 6, generator=torch.Generator().manual_seed(5))
    images = generate_images(model, [request] * 2, [first, second])
    assert not alike(*images)
    assert all(map(alike, images, reversed(generate_images(model, [request] * 2, [second, first]))))
    assert alike(*generate_images(model, [replace(request, prior_guidance=8.0)], [first]), images[0])
    assert not alike(*generate_images(model, [request]), images[0])


def alike(one, other):
    """Whether two images are the same, as far as batches of other sizes allow."""
    return np.abs(one.astype(int) - other).max() <= 1
