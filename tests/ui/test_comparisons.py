"""Who finds which comparison again, and what becomes of the others."""

from __future__ import annotations

import pytest

from tests.ui.fakes import Painter, studio
from wuerst_demo.ui.comparing import Asked
from wuerst_demo.ui.comparisons import Comparisons
from wuerst_demo.ui.seats import KEPT, Seat

ME = Seat("me" * 10, "left")
ASKED = Asked({"prompt": "a cat", "seed": 7}, ("prior_steps", "4, 5, 6"), ("", ""))


def left(comparisons, seat=ME, asked=ASKED):
    """A comparison of which one cell is finished, and its page gone; its last board."""
    boards = comparisons.compare(seat, asked)
    seen = next(seen for seen in boards if seen.files)
    boards.close()
    return seen


def test_it_is_found_again_on_its_seat_alone_with_what_was_asked():
    comparisons = Comparisons(studio())
    seen = left(comparisons)
    found = comparisons.find(ME)
    assert found.asked == ASKED
    *_, last = found.follow()
    assert last.state == "done"
    assert last.files.items() >= seen.files.items()
    assert comparisons.find(Seat(ME.owner, "right")) is None
    assert comparisons.find(Seat("you" * 10, ME.tab)) is None


def test_the_page_that_has_begun_it_does_not_come_back_to_it():
    comparisons = Comparisons(studio())
    list(comparisons.compare(ME, ASKED, "this one"))
    assert comparisons.find(ME, "this one") is None
    assert comparisons.find(ME, "the next").asked == ASKED


def test_a_new_one_takes_the_place_of_the_old_one_whose_files_go():
    painter = Painter()
    comparisons = Comparisons(studio(painter))
    seen = left(comparisons)
    *_, last = comparisons.compare(ME, Asked({"prompt": "a dog", "seed": 7}, ("seed", "1"), ("", "")))
    assert comparisons.find(ME).board == last
    assert not any(path.exists() for path in seen.files.values())
    assert painter.running == 0


@pytest.mark.parametrize("asked", [Asked(ASKED.values, ("seed", "x"), ("", "")), Asked({}, ("", ""), ("", ""))])
def test_what_is_refused_says_why_and_leaves_the_last_one_to_be_found(asked):
    comparisons = Comparisons(studio())
    seen = left(comparisons)
    (refused,) = comparisons.compare(ME, asked)
    assert refused.state == "refused"
    assert refused.message.endswith(".")
    assert refused.grid is None
    assert comparisons.find(ME).board.tiles == seen.tiles


def test_a_fault_of_ours_is_said_without_a_word_about_our_insides(caplog):
    class Broken(dict):
        def items(self):
            raise RuntimeError("a fault with /secret/path in it")

        keys = __iter__ = items

    (failed,) = Comparisons(studio()).compare(ME, Asked(Broken(), ("seed", "1"), ("", "")))
    assert failed.state == "failed"
    assert "secret" not in failed.message
    assert "secret" in caplog.text


def test_after_its_time_nothing_is_found_and_no_file_is_left():
    now = [0.0]
    comparisons = Comparisons(studio(), clock=lambda: now[0])
    seen = left(comparisons)
    now[0] = KEPT
    assert comparisons.find(ME) is not None
    now[0] = KEPT + 1
    assert comparisons.find(ME) is None
    assert not any(path.exists() for path in seen.files.values())


def test_stop_is_for_ones_own():
    comparisons = Comparisons(studio())
    boards = comparisons.compare(ME, ASKED)
    next(boards)
    comparisons.stop(Seat("you" * 10, ME.tab))
    next(seen for seen in boards if seen.files)
    comparisons.stop(ME)
    *_, last = boards
    assert last.state == "stopped"
    assert len(last.files) == 1
