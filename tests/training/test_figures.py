"""What a checkpoint's card says about steps and guidance: asked of other prompts than the evaluation's, and counted."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from wuerst_demo.training import figures
from wuerst_demo.training.evaluate import cases
from wuerst_demo.training.judge import Verdict
from wuerst_demo.training.recipe import Recipe

RECIPE = Recipe(Path("unused"))
OTHER = cases(RECIPE, 600, figures.OTHERS)


@pytest.fixture
def asked(monkeypatch):
    """All requests that figures make. Every third picture lacks the thing, every ninth has another background."""
    requests = []
    scenes = {case.prompt: case.scene for case in OTHER}

    def judged(judge, recipe, pictures):
        verdicts = []
        for k, request in enumerate(pictures):
            scene = scenes[request["prompt"]]
            things = {} if k % 3 == 0 else {scene.items[0].thing.name: (0.5, 0.5)}
            verdicts.append(Verdict(things, "" if k % 9 == 1 else scene.place, scene.time, "", {}))
        return verdicts

    def drawn(model, pictures):
        requests.extend(pictures)
        return pictures

    monkeypatch.setattr(figures, "judged", judged)
    monkeypatch.setattr(figures, "drawn", drawn)
    return requests


def rows(found):
    """Two settings -> the shares of pictures with the thing and with the background."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found.splitlines()[2:]]
    return {(float(one), float(other)): (thing, place) for one, other, thing, place in cells}


MODEL = SimpleNamespace(request=lambda **settings: settings)


def test_every_number_of_steps_is_asked_the_same_prompts_and_counted(asked):
    found = rows(figures.curve(MODEL, None, RECIPE, 9))
    assert found == dict.fromkeys(figures.STEPS, ("67%", "89%"))
    by_steps = {
        steps: [(r["prompt"], r["seed"]) for r in asked if (r["prior_steps"], r["decoder_steps"]) == steps]
        for steps in figures.STEPS
    }
    assert all(len(prompts) == 9 for prompts in by_steps.values())
    assert len({tuple(prompts) for prompts in by_steps.values()}) == 1


def test_guidance_is_chosen_by_prompts_for_what_is_small_big_or_painted(asked):
    found = rows(figures.guidance(MODEL, None, RECIPE, 18))
    assert found == dict.fromkeys(figures.GUIDANCE, ("67%", "89%"))
    assert {(r["prior_guidance"], r["decoder_guidance"]) for r in asked} == set(figures.GUIDANCE)
    hard = {case.prompt: case.scene.items[0] for case in OTHER}
    assert all(hard[r["prompt"]].word or hard[r["prompt"]].colour for r in asked)
    assert len(asked) == 18 * len(figures.GUIDANCE)


def test_what_is_chosen_by_figures_is_not_chosen_by_the_evaluations_prompts(asked):
    figures.curve(MODEL, None, RECIPE, 18)
    figures.guidance(MODEL, None, RECIPE, 18)
    judged_by = {(case.prompt, case.scene.detail) for case in cases(RECIPE, 550)}
    chosen_by = {(case.prompt, case.scene.detail) for case in OTHER}
    assert not judged_by & chosen_by
    assert {r["prompt"] for r in asked} <= {prompt for prompt, _ in chosen_by}
