"""Handlers of the Generate tab."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from tests.fakes.server import run_async
from tests.fakes.web import LIMITS, FakePipeline, fake_context
from wuerst_demo.engine.zerogpu import GeneratorEngine
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.events import Result
from wuerst_demo.images.files import save_image
from wuerst_demo.request import SOURCE_FIELDS
from wuerst_demo.web.generate import layout
from wuerst_demo.web.generate.handlers import LIVE_PICTURE_FORGOTTEN_MESSAGE, GenerateHandlers, reuse_last_seed
from wuerst_demo.web.generate.sessions import GenerationSessions
from wuerst_demo.web.shared.generation import FinishedImage, generate_views


def picture(**values):
    *_, last = generate_views(fake_context(), values, "me")
    return last.images[0]


@pytest.fixture(scope="module")
def made():
    with gr.Blocks(), gr.Tabs():
        return layout.GenerateTab(fake_context())


def handlers(tab, context=None, sessions=None):
    context = context or fake_context()
    return GenerateHandlers(context, tab, sessions or GenerationSessions(context))


def by_name(updates):
    return {component.elem_id: value for component, value in updates.items()}


def test_reusing_an_images_settings_sets_every_control_and_keeps_its_seed(made):
    drawn = picture(prompt="a cat", seed=70, width=384, images=3)
    set_to = by_name(handlers(made).reuse_settings((drawn,), 0))
    assert set_to.keys() == {name.replace("_", "-") for name in LIMITS.descriptions} | {*SOURCE_FIELDS, "new-seed"}
    assert (set_to["prompt"], set_to["width"], set_to["seed"], set_to["images"]) == ("a cat", 384, 70, 1)
    assert set_to["new-seed"] is False


def test_a_live_picture_that_the_server_has_forgotten_is_not_kept(made):
    updates = by_name(handlers(made).keep_live(gr.Request(), "me", "this tab", "long gone"))
    assert updates.keys() == {"status"}
    assert LIVE_PICTURE_FORGOTTEN_MESSAGE in updates["status"]


def test_a_variation_leaves_the_seed_open_and_the_number_of_images_as_set(made):
    drawn = picture(prompt="a cat", seed=70)
    set_to = by_name(handlers(made).renew_image((drawn,), 0))
    assert set_to["seed"] is None
    assert set_to["new-seed"] is True
    assert "images" not in set_to
    assert set_to["prompt"] == "a cat"


@pytest.mark.parametrize("newest", [None, ()])
def test_without_the_images_reuse_explains_why_and_a_variation_still_runs(made, newest):
    told = handlers(made).reuse_settings(newest, 0)
    assert "drop one of them on the page" in told[made.restored]
    assert by_name(handlers(made).renew_image(newest, 0)) == {"new-seed": True}


@pytest.mark.parametrize("chosen", [None, "1", 7])
def test_an_invalid_selection_means_the_first_image(made, chosen):
    drawn = picture(seed=70), picture(seed=71)
    assert by_name(handlers(made).reuse_settings(drawn, chosen))["seed"] == 70
    assert by_name(handlers(made).reuse_settings(drawn, 1))["seed"] == 71


def test_surprise_picks_another_example_than_the_present_prompt(made):
    context = fake_context()

    def first(prompt, *examples):
        checkpoint = replace(context.checkpoint, examples=examples)
        return handlers(made, replace(context, checkpoint=checkpoint)).surprise(prompt, choose=lambda given: given[0])

    assert first("a", "a", "b") == "b"
    assert first("c", "a", "b") == "a"
    assert first("a", "a") == "a"


def test_the_last_seed_is_reused_and_kept():
    request = LIMITS.request({"seed": 70})
    assert reuse_last_seed((FinishedImage(0, Path("a.png"), request),)) == (70, False)


class Measured(GeneratorEngine):
    @property
    def stage_counts(self):
        return {"prior": 2, "waiting": 1}

    def estimate(self, request, /):
        return 4.0 * request.images


def test_the_time_estimate_comes_from_the_engine_and_counts_other_images(made):
    expect = handlers(made, replace(fake_context(), engine=Measured(FakePipeline().run))).estimate
    assert expect(images=2) == "<span>Takes about 8 s, beside 3 other pictures.</span>"
    assert expect(images=0) == ""
    assert handlers(made).estimate(images=1) == ""
    with pytest.raises(InvalidRequest):
        LIMITS.request({"images": 0})


OWNER = "a secret of the browser"


def pixels():
    return Image.new("RGB", (8, 8))


def page(name="page 1", **query):
    """What Gradio knows of a page's request."""
    return gr.Request(query_params=query, session_hash=name)


def load(sessions, tab, request, draft=None):
    """All updates of a page that is loaded, and its settings by field name."""
    each = handlers(tab, sessions=sessions)
    merged = each.restore_settings(request, OWNER, "tab", draft)
    settings = json.loads(merged.get(tab.arrived, "{}"))
    for updates in each.follow_generation(request, OWNER, "tab"):
        merged |= {component: value for component, value in updates.items() if value != gr.skip()}
    return by_name({component: value for component, value in merged.items() if component.elem_id}) | settings


def generate(sessions, tab, request, **values):
    handler = handlers(tab, sessions=sessions).generate_images
    return list(handler(request, OWNER, "tab", False, **{"seed": 7, **values}))


def test_a_loaded_page_restores_its_link_and_its_draft_overrides_that(made):
    sessions = GenerationSessions(fake_context())
    loaded = load(sessions, made, page(prompt="a fox", seed="5"), json.dumps({"prompt": "a typed cat"}))
    assert (loaded["prompt"], loaded["seed"], loaded["new_seed"]) == ("a typed cat", 5, False)
    assert "Settings from the link." in loaded["came"]


def test_a_loaded_page_restores_the_last_generation_unless_its_link_is_newer(made):
    sessions = GenerationSessions(fake_context())
    generate(sessions, made, page("page 1", prompt="a fox"), prompt="a dog")
    same_link = load(sessions, made, page("page 2", prompt="a fox"))
    assert (same_link["prompt"], same_link["seed"], same_link["came"]) == ("a dog", 7, "")
    assert len(same_link["gallery"]) == 1
    newer_link = load(sessions, made, page("page 3", prompt="an owl"))
    assert (newer_link["prompt"], newer_link["seed"]) == ("an owl", None)
    assert len(newer_link["gallery"]) == 1


def test_a_page_that_has_generated_before_its_load_event_is_left_alone(made):
    sessions = GenerationSessions(fake_context())
    generate(sessions, made, page("page 1"), prompt="a dog")
    assert load(sessions, made, page("page 1", prompt="an owl")).keys() == {"came"}


def test_a_rejected_request_leaves_the_last_images_on_the_page(made):
    (updates,) = generate(GenerationSessions(fake_context()), made, page(), width=1)
    assert "Width is 1" in by_name(updates)["status"]
    assert made.gallery not in updates
    assert (updates[made.start].interactive, updates[made.stop].interactive) == (False, False)


def test_every_answer_sets_the_buttons(made):
    *running, last = generate(GenerationSessions(fake_context()), made, page(), prompt="a cat")
    assert all(updates[made.stop].interactive for updates in running)
    # Start is enabled at the end of the event (see `JobTab.enable_after`), unless the page has re-attached to the job.
    assert (last[made.start].interactive, last[made.stop].interactive) == (False, False)


def test_a_prompt_that_cannot_be_read_is_reported(made, caplog):
    def read(context=None):
        return lambda *given: run_async(handlers(made, context).read_prompt(page(), *given))

    assert "cannot be read" in read()("syntax", True)[made.summary]
    assert "3 of 77 tokens" in read()("a", True)[made.summary]

    def broken(prompt, weighting):
        raise RuntimeError("a secret")

    assert "secret" not in read(replace(fake_context(), parse_prompt=broken))("a", True)[made.summary]
    assert "a secret" in caplog.text


def test_a_dropped_file_is_deleted_unless_this_program_wrote_it(made, tmp_path):
    drop = handlers(made).drop_file
    own = save_image(Result(0, pixels(), LIMITS.request({"seed": 7})), tmp_path, checkpoint="")
    foreign = tmp_path / "foreign.png"
    pixels().save(foreign)
    assert by_name(drop(str(own)))["seed"] == 7
    assert own.exists()
    assert "contains no settings" in drop(str(foreign))[made.restored]
    assert not foreign.exists()
    assert drop(None) == {made.restored: ""}


def test_an_image_without_its_composition_is_not_varied(made):
    bare = replace(picture(prompt="a cat", seed=3), image_embeddings="")
    for newest in ((bare,), (), None):
        updates = handlers(made).vary_image(newest, 0, 0.5)
        assert set(updates) == {made.restored, made.variation.value}
        assert updates[made.variation.value] is None
        assert "<li>" in updates[made.restored]


def test_the_way_back_shows_the_earlier_picture_and_ends_without_a_fault(made):
    sessions = GenerationSessions(fake_context())
    generate(sessions, made, page(), prompt="a cat")
    handler = handlers(made, sessions=sessions)
    *_, explored = handler.explore_selected(page(), OWNER, "tab", 0.4, 0)
    assert len(explored[made.newest_images]) == 9

    def go_back(position):
        return list(handler.explore_sheet(page(), gr.EventData(None, {"back": position}), OWNER, "tab", 0.4))

    assert go_back(1) == [{made.status: gr.skip()}]  # there is no such view
    *_, back = go_back(0)
    assert [image.request.seed for image in back[made.newest_images]] == [7]


def test_settings_without_a_variation_clear_the_one_before(made):
    assert made.fill({"prompt": "a cat"})[made.variation.value] is None
    assert made.fill({}) == {}


def test_the_editor_of_a_region_opens_for_the_selected_image(made):
    drawn = picture(prompt="a cat", seed=3), replace(picture(prompt="a cat", seed=4), index=5)
    (editor,) = handlers(made).open_region(drawn, 1).values()
    assert 'data-image="5"' in editor


@pytest.mark.parametrize("forgotten", [True, False])
def test_the_editor_of_a_region_stays_closed_without_the_images_composition(made, forgotten):
    bare = replace(picture(prompt="a cat", seed=3), image_embeddings="")
    updates = handlers(made).open_region(() if forgotten else (bare,), 0)
    assert updates[made.variation.region] == ""
    assert ("drop one of them on the page" in updates[made.restored]) == forgotten
    assert "<li>" in updates[made.restored]


def test_a_painted_region_sets_the_controls_but_the_prompt(made):
    drawn = picture(prompt="a cat", seed=3)
    painted = SimpleNamespace(_data={"image": 0, "cells": "1" + "0" * 35})
    set_to = by_name(handlers(made).redraw_region(painted, (drawn,)))
    assert "prompt" not in set_to
    assert set_to["width"] == drawn.request.width
    assert handlers(made).redraw_region(SimpleNamespace(_data={"close": True}), (drawn,)) == {made.variation.region: ""}


def test_a_damaged_region_is_reported_and_sets_nothing(made):
    painted = SimpleNamespace(_data={"image": 0, "cells": "1"})
    updates = handlers(made).redraw_region(painted, (picture(prompt="a cat", seed=3),))
    assert updates.keys() == {made.restored, made.variation.value}
    assert "paint the region again" in updates[made.restored]
    assert updates[made.variation.value] is None
