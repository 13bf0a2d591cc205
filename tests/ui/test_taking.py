"""What can be done with a finished picture, and what is told of it."""

from dataclasses import replace

import gradio as gr
import pytest

from tests.ui.fakes import LIMITS, Reading, Word, studio
from wuerst_demo.errors import PromptError
from wuerst_demo.ui import desk
from wuerst_demo.ui.details import details
from wuerst_demo.ui.drawing import draw
from wuerst_demo.ui.taking import using

EVIL = "<script>alert(1)</script>"


def picture(**values):
    *_, last = draw(studio(), values, "me")
    return last.pictures[0]


def test_a_picture_tells_its_own_seed_its_settings_its_time_and_its_checkpoint():
    made = replace(picture(prompt="a cat", seed=70), seconds={"text": 0.1, "prior": 2.345, "total": 3.0})
    told = details(made, 1, replace(studio(), revision="abc123"))
    assert "Picture 2" in told
    assert '<dd><span translate="no">a cat</span></dd>' in told
    for said in ("70", "Text 0.10 s, Prior 2.35 s, 3.00 s in all", "a checkpoint of arithmetic", "abc123"):
        assert f"<dd>{said}</dd>" in told
    assert "<dt>Pictures</dt>" not in told


def test_the_prompt_is_shown_as_it_was_read_where_words_have_weights():
    assert "<mark>RED <b>× 1.5</b></mark>" in details(picture(prompt="a RED cat"), 0, studio())
    assert "As read" not in details(picture(prompt="a red cat"), 0, studio())
    assert "As read" not in details(picture(prompt="a RED cat", weighting=False), 0, studio())


def test_markup_is_text_wherever_it_comes_from():
    def weighted(prompt, weighting):
        return Reading((Word(EVIL, 1.5),), 3)

    evil = replace(studio(), read=weighted, checkpoint=EVIL, revision=EVIL)
    made = replace(picture(prompt=EVIL, negative_prompt=EVIL), notes=(EVIL,))
    assert EVIL not in details(made, 0, evil)


def test_a_prompt_that_can_be_read_no_more_is_no_reason_for_an_error():
    def unreadable(prompt, weighting):
        raise PromptError("No.")

    assert "a cat" in details(picture(prompt="a cat"), 0, replace(studio(), read=unreadable))


@pytest.fixture(scope="module")
def made():
    with gr.Blocks(), gr.Tabs():
        return desk.lay(studio())


def by_name(updates):
    return {component.elem_id: value for component, value in updates.items()}


def test_using_a_pictures_settings_sets_every_control_and_holds_its_seed(made):
    drawn = picture(prompt="a cat", seed=70, width=384, images=3)
    set_to = by_name(using(made, new_seed=False)((drawn,), 0))
    assert set_to.keys() == {name.replace("_", "-") for name in LIMITS.descriptions} | {"new-seed"}
    assert (set_to["prompt"], set_to["width"], set_to["seed"], set_to["images"]) == ("a cat", 384, 70, 1)
    assert set_to["new-seed"] is False


def test_the_same_with_another_seed_asks_for_a_new_one_and_for_as_many_as_are_asked_for_now(made):
    drawn = picture(prompt="a cat", seed=70)
    set_to = by_name(using(made, new_seed=True)((drawn,), 0))
    assert set_to["seed"] is None
    assert set_to["new-seed"] is True
    assert "images" not in set_to
    assert set_to["prompt"] == "a cat"


@pytest.mark.parametrize("newest", [None, ()])
def test_where_the_server_has_forgotten_the_pictures_it_says_so_and_another_seed_is_drawn_all_the_same(made, newest):
    told = using(made, new_seed=False)(newest, 0)
    assert "drop one of them on the page" in told[made.came]
    assert by_name(using(made, new_seed=True)(newest, 0)) == {"new-seed": True}


@pytest.mark.parametrize("chosen", [None, "1", 7])
def test_a_choice_that_is_none_is_the_first_picture(made, chosen):
    drawn = picture(seed=70), picture(seed=71)
    assert by_name(using(made, new_seed=False)(drawn, chosen))["seed"] == 70
    assert by_name(using(made, new_seed=False)(drawn, 1))["seed"] == 71
