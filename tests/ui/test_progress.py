import pytest

from tests.ui.fakes import LIMITS
from wuerst_demo.events import Progress, Queued
from wuerst_demo.ui.progress import Tally, about, kept, waiting


def tally(images=1, prior_steps=4, decoder_steps=2):
    return Tally.start(LIMITS.request({"images": images, "prior_steps": prior_steps, "decoder_steps": decoder_steps}))


def test_a_drawing_begins_at_nothing_and_ends_at_everything():
    begun = tally(images=2)
    assert begun.fraction == 0
    assert begun.ended(0).ended(1).fraction == 1


def test_the_fraction_never_goes_back_on_the_way():
    seen = tally()
    fractions = [seen.fraction]
    for stage, of in (("prior", 4), ("decoder", 2), ("vqgan", 1)):
        for step in range(1, of + 1):
            seen = seen.moved(Progress(0, stage, step, of))
            fractions.append(seen.fraction)
    fractions.append(seen.ended(0).fraction)
    assert fractions == sorted(fractions)
    assert len(set(fractions)) == len(fractions) - 1  # the VQGAN's step and the result are one


def test_the_sentence_names_the_stage_the_step_and_the_picture():
    assert tally().moved(Progress(0, "prior", 3, 4)).sentence == "Prior 3 of 4"
    assert tally(2).moved(Progress(0, "decoder", 1, 2)).sentence == "Decoder 1 of 2, picture 1 of 2"


def test_the_vqgan_is_named_while_it_works_which_is_after_the_decoders_last_step():
    assert tally().moved(Progress(0, "decoder", 2, 2)).sentence == "VQGAN"


def test_images_that_step_in_turn_do_not_make_the_sentence_jump():
    seen, sentences = tally(2), []
    for step in range(1, 5):
        for image in range(2):
            seen = seen.moved(Progress(image, "prior", step, 4))
            sentences.append(seen.sentence)
    assert all(sentence.endswith("picture 1 of 2") for sentence in sentences)


def test_a_finished_picture_gives_way_to_the_next():
    seen = tally(2).ended(0)
    assert seen.sentence == "Prior 0 of 4, picture 2 of 2"
    assert seen.ended(1).sentence == "Finished"


@pytest.mark.parametrize(
    ("queued", "said"),
    [
        (Queued(1), "Next in line"),
        (Queued(2), "2nd in line"),
        (Queued(3, 19.6), "3rd in line, about 20 s"),
        (Queued(12, 200.0), "12th in line, about 3 min"),
        (Queued(21), "21st in line"),
    ],
)
def test_waiting_is_said_with_the_place_and_the_time_where_it_is_known(queued, said):
    assert waiting(queued) == said


def test_the_rest_is_said_where_it_is_known():
    seen = tally(2).moved(Progress(0, "prior", 3, 4, rest=12.2))
    assert seen.sentence == "Prior 3 of 4, picture 1 of 2, about 12 s left"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "about 1 s"), (38, "about 40 s"), (89, "about 90 s"), (150, "about 2 min")]
)
def test_a_time_is_said_as_exactly_as_it_is_known(seconds, said):
    assert about(seconds) == said


def test_stopping_says_what_is_kept():
    assert "No picture" in kept(0)
    assert "The finished picture is kept" in kept(1)
    assert "3 finished pictures" in kept(3)
