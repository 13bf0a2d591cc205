"""Progress of a request as fraction and text."""

import pytest

from tests.fakes.web import LIMITS
from wuerst_demo.events import Moved, Progress, Queued
from wuerst_demo.web.shared.progress import ProgressTracker, announcement, duration_text, queue_text, stopped_text


def tally(images=1, prior_steps=4, decoder_steps=2):
    return ProgressTracker.start(
        LIMITS.request({"images": images, "prior_steps": prior_steps, "decoder_steps": decoder_steps})
    )


def test_the_fraction_goes_from_zero_to_one():
    begun = tally(images=2)
    assert begun.fraction == 0
    assert begun.finish(0).finish(1).fraction == 1


def test_the_fraction_never_falls():
    seen = tally()
    fractions = [seen.fraction]
    for stage, of in (("prior", 4), ("decoder", 2), ("vqgan", 1)):
        for step in range(1, of + 1):
            seen = seen.update(Progress(0, stage, step, of))
            fractions.append(seen.fraction)
    fractions.append(seen.finish(0).fraction)
    assert fractions == sorted(fractions)
    assert len(set(fractions)) == len(fractions) - 1  # the VQGAN's step and the result are one


def test_the_text_names_stage_step_and_image():
    assert tally().update(Progress(0, "prior", 3, 4)).text == "Prior 3 of 4"
    assert tally(2).update(Progress(0, "decoder", 1, 2)).text == "Decoder 1 of 2, picture 1 of 2"


def test_the_vqgan_is_named_after_the_last_decoder_step():
    assert tally().update(Progress(0, "decoder", 2, 2)).text == "VQGAN"


def test_the_text_does_not_alternate_between_images():
    seen, sentences = tally(2), []
    for step in range(1, 5):
        for image in range(2):
            seen = seen.update(Progress(image, "prior", step, 4))
            sentences.append(seen.text)
    assert all(sentence.endswith("picture 1 of 2") for sentence in sentences)


def test_a_finished_image_gives_way_to_the_next():
    seen = tally(2).finish(0)
    assert seen.text == "Prior 0 of 4, picture 2 of 2"
    assert seen.finish(1).text == "Finished"


def test_an_image_that_was_moved_begins_again_and_says_so_until_it_is_finished():
    seen = tally(2).update(Progress(0, "decoder", 1, 2)).update(Moved(0, 1))
    assert seen.fraction == 0
    assert seen.text == "Prior 0 of 4, picture 1 of 2, moved to another machine"
    seen = seen.update(Progress(0, "prior", 1, 4, remaining_s=7.0))
    assert seen.text == "Prior 1 of 4, picture 1 of 2, moved to another machine, about 7 s left"
    assert announcement(seen.text) == "Prior, picture 1 of 2, moved to another machine"
    assert seen.finish(0).text == "Prior 0 of 4, picture 2 of 2, about 7 s left"


@pytest.mark.parametrize(
    ("queued", "said"),
    [
        (Queued(1), "Next in the queue"),
        (Queued(2), "Position 2 in the queue"),
        (Queued(3, 19.6), "Position 3 in the queue, about 20 s"),
        (Queued(12, 200.0), "Position 12 in the queue, about 3 min"),
        (Queued(21), "Position 21 in the queue"),
    ],
)
def test_the_queue_text_has_the_position_and_the_known_time(queued, said):
    assert queue_text(queued) == said


def test_the_text_has_the_remaining_time_if_known():
    seen = tally(2).update(Progress(0, "prior", 3, 4, remaining_s=12.2))
    assert seen.text == "Prior 3 of 4, picture 1 of 2, about 12 s left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "about 1 s"), (38, "about 40 s"), (89, "about 90 s"), (90, "about 2 min"), (150, "about 2 min")],
)
def test_durations_are_rounded_to_what_is_known(seconds, said):
    assert duration_text(seconds) == said


def test_the_text_of_a_stopped_request_counts_finished_images():
    assert "No picture" in stopped_text(0)
    assert "The finished picture is kept" in stopped_text(1)
    assert "3 finished pictures" in stopped_text(3)
