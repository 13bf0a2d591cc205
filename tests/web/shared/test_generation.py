"""Views of one request."""

import errno
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.fakes.web import EMBEDDINGS, FakePipeline, fake_context
from wuerst_demo.errors import StorageError
from wuerst_demo.events import Done, Progress, Queued, Result
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.web.shared.generation import create_image_folder, generate_views
from wuerst_demo.web.shared.view import INTERNAL_ERROR_MESSAGE


def ticking(seconds):
    """A clock that is `seconds` later whenever it is looked at."""
    time = 0.0

    def clock():
        nonlocal time
        time += seconds
        return time

    return clock


def views(values, pipeline=None, clock=None):
    return list(generate_views(fake_context(pipeline), values, "somebody", clock or ticking(1)))


def test_views_cover_a_request_from_the_first_step_to_the_last_image():
    told = views({"prompt": "a cat", "prior_steps": 2, "decoder_steps": 1})
    assert [view.state for view in told] == ["waiting", *["running"] * 4, "done"]
    assert [view.message for view in told][1:4] == ["Prior 1 of 2", "Prior 2 of 2", "VQGAN"]
    assert [view.over for view in told] == [False] * 5 + [True]
    assert len(told[-1].images) == 1


def test_every_view_has_the_complete_request_with_its_seed():
    told = views({"prompt": "a cat"})
    assert told[0].request.prompt == "a cat"
    assert {view.request for view in told} == {told[0].request}


def test_every_image_file_carries_the_request_that_generates_it_alone():
    drawing = generate_views(fake_context(), {"prompt": "a cat", "images": 2, "seed": 7}, "", ticking(1))
    last = next(view for view in drawing if view.over)
    for k, picture in enumerate(last.images):
        found = read_image_settings(picture.path)
        assert found.values["seed"] == 7 + k
        assert found.values["images"] == 1
        assert picture.request == last.request.image(k)
        with Image.open(picture.path) as image:
            assert image.size == (256, 256)
    drawing.close()


def test_closing_the_views_deletes_their_files():
    drawing = generate_views(fake_context(), {"images": 2}, "", ticking(1))
    seen = next(view for view in drawing if view.images)
    folder = seen.images[0].path.parent
    assert folder.exists()
    drawing.close()
    assert not folder.exists()


def test_a_folder_that_cannot_be_deleted_raises_nothing(monkeypatch):
    def not_empty(path, **options):
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    folder = create_image_folder()
    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", not_empty)
        folder.cleanup()
    assert Path(folder.name).exists()
    Path(folder.name).rmdir()


def test_closing_the_views_cancels_the_request():
    pipeline = FakePipeline()
    drawing = generate_views(fake_context(pipeline), {}, "", ticking(1))
    for _ in range(3):
        next(drawing)
    assert pipeline.running == 1
    drawing.close()
    assert (pipeline.running, pipeline.cancelled) == (0, 1)


def test_quick_steps_are_skipped_but_images_are_not():
    told = views({"prior_steps": 50, "decoder_steps": 20, "images": 2}, clock=ticking(0.01))
    assert len(told) < 20
    assert [len(view.images) for view in told if view.state == "done"] == [2]
    assert [len(view.images) for view in told] == sorted(len(view.images) for view in told)
    assert {len(view.images) for view in told} == {0, 1, 2}
    assert any(view.message.startswith("Prior") for view in told)
    assert any(view.message.startswith("Decoder") for view in told)


def test_a_short_request_takes_two_updates_of_the_page():
    told = views({"prior_steps": 5, "decoder_steps": 4}, clock=ticking(0.01))
    assert [view.state for view in told] == ["waiting", "done"]


def test_an_invalid_value_ends_in_its_message_before_the_engine():
    pipeline = FakePipeline()
    (view,) = views({"width": 300}, pipeline)
    assert view.state == "rejected"
    assert view.message.startswith("Width is 300")
    assert pipeline.requests == []


@pytest.mark.parametrize("value", [float("nan"), "512", None, True, [], {}, 1e30])
def test_any_value_for_a_number_ends_in_a_message_or_the_default(value):
    told = views({"width": value, "prior_steps": 1, "decoder_steps": 1})
    assert told[-1].state == ("done" if value is None else "rejected")
    assert "\n" not in told[-1].message


def test_an_internal_error_is_logged_and_shown_without_its_text(caplog):
    with caplog.at_level(logging.ERROR):
        told = views({"prompt": "break, my secret wish"})
    assert told[-1].state == "failed"
    assert told[-1].message == INTERNAL_ERROR_MESSAGE
    assert "RuntimeError" in caplog.text
    assert "secret wish" not in caplog.text


def test_finished_images_stay_when_a_later_one_fails():
    class Half(FakePipeline):
        def run(self, request, session):
            for event in super().run(request, session):
                yield event
                if isinstance(event, Result):
                    raise RuntimeError

    drawing = generate_views(fake_context(Half()), {"images": 2}, "", ticking(1))
    *_, last = [(view, [picture.path.exists() for picture in view.images]) for view in drawing]
    assert last[0].state == "failed"
    assert last[1] == [True]


def test_a_full_disk_is_reported_without_the_servers_paths(tmp_path):
    def full(result, folder):
        raise StorageError(f"The disk is full, so nothing was written to {folder}.")

    told = list(generate_views(replace(fake_context(), save_image=full), {}, "", ticking(1)))
    assert told[-1].state == "rejected"
    assert "no disk space left" in told[-1].message
    assert "/" not in told[-1].message


class Recorded(HistoryStore):
    """A history that says what happened before an image came."""

    def __init__(self, root):
        super().__init__(root)
        self.before = []
        self.shown = 0

    def add(self, image, now=None):
        self.before.append(self.shown)
        return super().add(image, now)


def test_images_come_into_the_history_after_they_are_shown(tmp_path):
    history = Recorded(tmp_path)
    for view in generate_views(replace(fake_context(), history=history), {"images": 2}, "", ticking(1)):
        history.shown = max(history.shown, len(view.images))
    assert history.before == [1, 2]
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_images_come_into_the_history_although_their_reader_has_left(tmp_path):
    drawing = generate_views(replace(fake_context(), history=HistoryStore(tmp_path)), {"images": 2}, "", ticking(1))
    next(view for view in drawing if view.images)
    assert list(tmp_path.rglob("*.png")) == []
    drawing.close()
    assert len(list(tmp_path.rglob("*.png"))) == 1


def test_the_two_pictures_of_a_morph_do_not_come_into_the_history_again(tmp_path):
    requests = [views({"prompt": prompt})[-1].request.to_dict() for prompt in ("a cat", "a dog")]
    first, last = ({"request": each, "image_embeddings": EMBEDDINGS} for each in requests)
    values = {"morph": {"first": first, "last": last, "frames": 5}}
    told = list(generate_views(replace(fake_context(), history=HistoryStore(tmp_path)), values, "", ticking(1)))
    assert (told[-1].state, len(told[-1].images)) == ("done", 5)
    assert len(list(tmp_path.rglob("*.png"))) == 3


def test_a_last_view_says_which_image_is_not_in_the_history(tmp_path):
    class Full(HistoryStore):
        def add(self, image, now=None):
            raise StorageError("The disk is full.")

    told = list(generate_views(replace(fake_context(), history=Full(tmp_path)), {}, "", ticking(0.01)))
    assert [view.state for view in told] == ["waiting", "done", "done"]
    assert [view.images[0].notes for view in told[1:]] == [(), ("Not in the history: The disk is full.",)]


def test_results_out_of_order_are_shown_by_index():
    class Backwards(FakePipeline):
        def run(self, request, session):
            events = list(super().run(request, session))
            yield from reversed([event for event in events if isinstance(event, Result)])
            yield Done(1.0)

    assert [picture.index for picture in views({"images": 3}, Backwards())[-1].images] == [0, 1, 2]


def test_a_queued_request_is_shown_as_waiting_then_as_drawing():
    class Busy(FakePipeline):
        def run(self, request, session):
            yield Queued(2)
            yield Progress(0, "prior", 1, request.prior_steps)
            yield Done(1.0)

    assert [view.state for view in views({}, Busy())] == ["waiting", "waiting", "running", "done"]


def test_finished_images_are_hashable():
    for view in generate_views(fake_context(), {"prompt": "a cat", "images": 2}, "somebody"):
        if view.over:
            assert len({hash(each) for each in view.images}) == 2
