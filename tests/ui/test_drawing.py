import logging
from dataclasses import replace

import pytest
from PIL import Image

from tests.ui.fakes import Painter, studio
from wuerst_demo.errors import StorageError
from wuerst_demo.events import Done, Progress, Queued, Result
from wuerst_demo.metadata import from_png
from wuerst_demo.ui.drawing import OUR_FAULT, draw


def ticking(seconds):
    """A clock that is `seconds` later whenever it is looked at."""
    time = 0.0

    def clock():
        nonlocal time
        time += seconds
        return time

    return clock


def views(values, painter=None, clock=None):
    return list(draw(studio(painter), values, "somebody", clock or ticking(1)))


def test_a_drawing_is_told_from_the_first_step_to_the_last_picture():
    told = views({"prompt": "a cat", "prior_steps": 2, "decoder_steps": 1})
    assert [view.state for view in told] == ["waiting", *["drawing"] * 5, "done"]
    assert [view.message for view in told][1:4] == ["Prior 1 of 2", "Prior 2 of 2", "VQGAN"]
    assert [view.over for view in told] == [False] * 6 + [True]
    assert len(told[-1].pictures) == 1


def test_the_request_as_run_is_known_from_the_start_with_its_seed():
    told = views({"prompt": "a cat"})
    assert told[0].request.prompt == "a cat"
    assert {view.request for view in told} == {told[0].request}


def test_every_picture_is_a_file_that_carries_the_request_which_draws_it_alone():
    drawing = draw(studio(), {"prompt": "a cat", "images": 2, "seed": 7}, "", ticking(1))
    last = next(view for view in drawing if view.over)
    for k, picture in enumerate(last.pictures):
        found = from_png(picture.path)
        assert found.values["seed"] == 7 + k
        assert found.values["images"] == 1
        assert picture.request == last.request.image(k)
        with Image.open(picture.path) as image:
            assert image.size == (256, 256)
    drawing.close()


def test_nothing_stays_on_the_disk_when_the_drawing_is_let_go():
    drawing = draw(studio(), {"images": 2}, "", ticking(1))
    seen = next(view for view in drawing if view.pictures)
    folder = seen.pictures[0].path.parent
    assert folder.exists()
    drawing.close()
    assert not folder.exists()


def test_closing_the_drawing_closes_the_engines_run():
    painter = Painter()
    drawing = draw(studio(painter), {}, "", ticking(1))
    for _ in range(3):
        next(drawing)
    assert painter.running == 1
    drawing.close()
    assert (painter.running, painter.closed) == (0, 1)


def test_steps_that_follow_at_once_are_not_all_told_but_stages_and_pictures_are():
    told = views({"prior_steps": 50, "decoder_steps": 20, "images": 2}, clock=ticking(0.01))
    assert len(told) < 40
    assert [len(view.pictures) for view in told if view.state == "done"] == [2]
    assert any(view.message == "Prior 1 of 50, picture 1 of 2" for view in told)
    assert any(view.message == "Decoder 1 of 20, picture 1 of 2" for view in told)


def test_a_value_that_cannot_be_served_ends_in_its_sentence_and_no_engine_is_asked():
    painter = Painter()
    (view,) = views({"width": 300}, painter)
    assert view.state == "refused"
    assert view.message.startswith("Width is 300")
    assert painter.asked == []


@pytest.mark.parametrize("value", [float("nan"), "512", None, True, [], {}, 1e30])
def test_whatever_arrives_for_a_number_ends_in_one_sentence_or_the_default(value):
    told = views({"width": value, "prior_steps": 1, "decoder_steps": 1})
    assert told[-1].state == ("done" if value is None else "refused")
    assert "\n" not in told[-1].message


def test_a_fault_of_ours_is_logged_and_told_in_a_neutral_sentence(caplog):
    with caplog.at_level(logging.ERROR):
        told = views({"prompt": "break, my secret wish"})
    assert told[-1].state == "failed"
    assert told[-1].message == OUR_FAULT
    assert "RuntimeError" in caplog.text
    assert "secret wish" not in caplog.text


def test_pictures_that_were_finished_stay_when_another_fails():
    class Half(Painter):
        def draw(self, request, session):
            for event in super().draw(request, session):
                yield event
                if isinstance(event, Result):
                    raise RuntimeError

    drawing = draw(studio(Half()), {"images": 2}, "", ticking(1))
    *_, last = [(view, [picture.path.exists() for picture in view.pictures]) for view in drawing]
    assert last[0].state == "failed"
    assert last[1] == [True]


def test_a_full_disk_is_told_without_the_servers_folders(tmp_path):
    def full(result, folder):
        raise StorageError(f"The disk is full, so nothing was written to {folder}.")

    told = list(draw(replace(studio(), save=full), {}, "", ticking(1)))
    assert told[-1].state == "refused"
    assert "no place left" in told[-1].message
    assert "/" not in told[-1].message


def test_results_that_come_out_of_turn_are_shown_in_the_order_of_their_numbers():
    class Backwards(Painter):
        def draw(self, request, session):
            events = list(super().draw(request, session))
            yield from reversed([event for event in events if isinstance(event, Result)])
            yield Done(1.0)

    assert [picture.image for picture in views({"images": 3}, Backwards())[-1].pictures] == [0, 1, 2]


def test_waiting_is_told_and_drawing_after_it():
    class Busy(Painter):
        def draw(self, request, session):
            yield Queued(2)
            yield Progress(0, "prior", 1, request.prior_steps)
            yield Done(1.0)

    assert [view.state for view in views({}, Busy())] == ["waiting", "waiting", "drawing", "done"]


def test_pictures_can_be_kept_where_changes_are_told_by_a_hash():
    for view in draw(studio(), {"prompt": "a cat", "images": 2}, "somebody"):
        if view.over:
            assert len({hash(each) for each in view.pictures}) == 2
