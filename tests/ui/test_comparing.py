"""A comparison from its values to its last board, on an engine of arithmetic."""

import itertools
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from PIL import Image

from tests.fakes import FakeCascade, painted
from tests.ui.fakes import Painter, paint, studio
from tests.ui.test_runs import Held
from wuerst_demo.engine.local import Local
from wuerst_demo.errors import Busy, StorageError, UserError
from wuerst_demo.metadata import from_png
from wuerst_demo.ui.comparing import ELSEWHERE, TOGETHER, Asked, Comparison
from wuerst_demo.ui.plain import Plain

CAT = {"prompt": "a cat", "seed": 7}


def comparison(made, values=CAT, across=("seed", "1-3"), down=("", "")):
    return Comparison(made, Asked(values, across, down), "somebody", clock=itertools.count().__next__)


def boards(made, values=CAT, across=("seed", "1-3"), down=("", "")):
    return list(comparison(made, values, across, down).follow())


class Room:
    """An engine that has room for `most` requests, and tells what it was asked."""

    def __init__(self, painter, most=100):
        self._plain = Plain(painter.draw)
        self._most = most
        self.open = 0
        self.fullest = 0
        self.sessions = set()

    def submit(self, request, session):
        if self.open >= self._most:
            raise Busy("The line is full (3); try again in about 5 s.", 5.0)
        self.open += 1
        self.fullest = max(self.fullest, self.open)
        self.sessions.add(session)
        return Counted(self._plain.submit(request, session), self)

    def full(self, most=0):
        self._most = most

    def attach(self, id, session):
        return self._plain.attach(id, session)

    def cancel(self, id, session):
        self._plain.cancel(id, session)

    def estimate(self, request):
        return None


class Counted:
    def __init__(self, ticket, room):
        self._ticket, self._room, self._closed = ticket, room, False
        self.id = ticket.id

    def __iter__(self):
        return iter(self._ticket)

    def close(self):
        if not self._closed:
            self._room.open -= 1
        self._closed = True
        self._ticket.close()


def roomy(painter, most=100):
    return replace(studio(painter), engine=Room(painter, most))


def test_every_cell_becomes_the_picture_that_its_request_draws_alone():
    made = comparison(studio(), down=("prior_steps", "5, 10"))
    *_, seen = made.follow()
    assert seen.state == "done"
    assert len(seen.files) == 6
    for cell, path in zip(seen.grid.cells, seen.files.values(), strict=True):
        found = from_png(path)
        assert studio().limits.request(found.values) == cell.request


def test_cells_fill_in_their_order_one_by_one_and_the_bar_never_goes_back():
    seen = boards(studio())
    counts = [len(board.files) for board in seen]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}
    fractions = [board.fraction for board in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert max(fractions[:-1]) <= 1


def test_all_cells_are_one_visitors_and_only_so_many_are_in_the_engine_at_a_time():
    made = roomy(Painter())
    assert len(boards(made, across=("seed", "1-6"), down=("prior_steps", "1-4"))[-1].files) == 24
    assert made.engine.fullest == TOGETHER
    assert made.engine.sessions == {"somebody"}
    assert made.engine.open == 0


def test_where_the_line_is_full_the_next_cell_waits_for_one_of_ours():
    made = roomy(Painter(), most=2)
    assert boards(made)[-1].state == "done"
    assert made.engine.fullest == 2


def test_where_there_is_no_room_at_all_the_line_says_so():
    last = boards(roomy(Painter(), most=0))[-1]
    assert (last.state, last.message) == ("refused", "The line is full (3); try again in about 5 s.")


def test_what_cannot_be_taken_is_refused_before_anything_is_drawn():
    painter = Painter()
    for values, across, said in (
        (CAT, ("seed", "x"), "Seed must be a whole number"),
        (CAT | {"prompt": "a {cat|syntax}"}, ("prompt", ""), "The prompt's brackets cannot be read"),
        (CAT | {"width": 300}, ("seed", "1"), "Width is 300"),
    ):
        with pytest.raises(UserError, match=said):
            comparison(studio(painter), values, across)
    assert painter.asked == []


def test_a_cell_that_fails_says_why_and_the_others_are_drawn():
    last = boards(studio(), {"prompt": "a {cat|refuse|dog}"}, ("prompt", ""))[-1]
    assert last.state == "done"
    assert [tile.state for tile in last.tiles] == ["done", "failed", "done"]
    assert last.tiles[1].message == "The fake engine refuses this; ask for something else."
    assert last.message.startswith("2 of 3 pictures")


def test_a_fault_of_ours_ends_it_without_a_word_about_our_insides_and_keeps_what_is_finished(caplog):
    last = boards(studio(), {"prompt": "a {cat|break}"}, ("prompt", ""))[-1]
    assert last.state == "failed"
    assert "secret" not in last.message
    assert list(last.files) == [0]


@pytest.mark.parametrize("after", [1, 3, 6])
def test_stop_ends_what_is_being_drawn_and_keeps_what_is_finished(after):
    painter = Painter()
    made = roomy(painter)
    begun = comparison(made, across=("seed", "1-20"))
    following = begun.follow()
    for _ in range(after):
        seen = next(following)
    begun.stop()
    *_, last = following
    assert last.state == "stopped"
    assert last.message.startswith("Stopped. ")
    assert last.files.items() >= seen.files.items()
    assert made.engine.open == 0
    assert painter.running == 0
    assert len(painter.asked) < 20
    assert all(path.exists() for path in last.files.values())
    begun.end()
    assert not any(path.exists() for path in last.files.values())


def test_who_comes_back_finds_it_where_it_stood_and_it_goes_on_to_the_same_pictures():
    """Here what is left ends: only the cells that were in work are drawn again."""
    painter = Painter()
    begun = comparison(roomy(painter), across=("seed", "1-20"))
    following = begun.follow()
    left = next(seen for seen in following if len(seen.files) == 3)
    following.close()
    assert painter.running == 0
    again = begun.follow()
    assert next(again).tiles == left.tiles
    *_, last = again
    assert last.state == "done"
    assert len(last.files) == 20
    assert [painter.asked.count(cell.request) for cell in last.grid.cells[:3]] == [1, 1, 1]
    for cell, path in zip(last.grid.cells, last.files.values(), strict=True):
        with Image.open(path) as picture:
            assert picture.tobytes() == paint(cell.request).tobytes()


def test_what_is_over_is_shown_again_as_it_ended():
    begun = comparison(studio())
    *_, last = begun.follow()
    assert list(begun.follow()) == [last]
    begun.stop()
    assert list(begun.follow()) == [last]


def test_what_is_stopped_while_nobody_follows_it_is_found_stopped():
    begun = comparison(studio(), across=("seed", "1-20"))
    following = begun.follow()
    next(seen for seen in following if len(seen.files) == 2)
    following.close()
    begun.stop()
    (last,) = begun.follow()
    assert (last.state, last.message) == ("stopped", "Stopped. The 2 finished pictures are kept.")


def test_what_is_stopped_by_somebody_who_then_leaves_is_not_drawn_any_further():
    painter = Painter()
    begun = comparison(studio(painter), across=("seed", "1-20"))
    following = begun.follow()
    next(seen for seen in following if len(seen.files) == 2)
    begun.stop()
    following.close()
    (last,) = begun.follow()
    assert (last.state, len(last.files)) == ("stopped", 2)
    assert len(painter.asked) < 10


def test_where_there_is_no_room_on_coming_back_it_can_be_come_back_to_again():
    made = roomy(Painter())
    begun = comparison(made, across=("seed", "1-5"))
    following = begun.follow()
    next(seen for seen in following if len(seen.files) == 2)
    following.close()
    made.engine.full()
    *_, last = begun.follow()
    assert (last.state, len(last.files)) == ("refused", 2)
    made.engine.full(100)
    *_, last = begun.follow()
    assert (last.state, len(last.files)) == ("done", 5)


def test_time_away_does_not_count():
    now = [0.0]
    begun = Comparison(studio(), Asked(CAT, ("seed", "1-3"), ("", "")), "somebody", clock=lambda: now[0])
    following = begun.follow()
    next(following)
    now[0] += 2
    next(seen for seen in following if seen.files)
    following.close()
    now[0] += 1000
    *_, last = begun.follow()
    assert last.message == "3 pictures in 2.0 s"


def test_no_file_is_left_of_one_that_is_ended_while_somebody_reads_it():
    with Local(FakeCascade()) as engine:
        begun = comparison(replace(studio(), engine=engine), across=("seed", "1-8"))
        following = begun.follow()
        seen = next(seen for seen in following if seen.files)
        begun.end()
        *_, last = following
    assert last.state == "stopped"
    assert not any(path.parent.exists() for path in (seen.files | last.files).values())


def test_a_full_disk_is_said_without_naming_the_servers_folders():
    def full(result, folder, *, texts=None):
        raise StorageError(f"The disk is full, so nothing was written to the folder {folder}; free some space.")

    last = boards(replace(studio(), save=full))[-1]
    assert last.state == "refused"
    assert "/" not in last.message


def test_the_pictures_are_those_of_the_painter():
    made = comparison(studio(), across=("seed", "1-2"))
    *_, seen = made.follow()
    for cell, path in zip(seen.grid.cells, seen.files.values(), strict=True):
        with Image.open(path) as picture:
            assert picture.tobytes() == paint(cell.request).tobytes()


def test_an_engine_that_has_stopped_is_said_at_once():
    class Stopped(Room):
        def submit(self, request, session):
            raise UserError("The program is closing; try again when it is back.")

    last = boards(replace(studio(), engine=Stopped(Painter())))[-1]
    assert (last.state, last.message) == ("refused", "The program is closing; try again when it is back.")


def test_in_the_real_engine_cells_share_their_steps_and_the_pictures_are_those_they_are_alone():
    everybody_is_there = threading.Barrier(2)
    submitted = iter(range(8))

    class Counting(Local):
        def submit(self, request, session, stages=False):
            ticket = super().submit(request, session, stages)
            if next(submitted) == 7:
                everybody_is_there.wait(60)
            return ticket

    waiting = iter([True])
    cascade = FakeCascade(between=lambda: next(waiting, False) and everybody_is_there.wait(60))
    with Counting(cascade) as engine:
        begun = comparison(replace(studio(), engine=engine), across=("seed", "1-4"), down=("prior_steps", "5, 6"))
        *_, seen = begun.follow()
        assert len(seen.files) == 8
        for cell, path in zip(seen.grid.cells, seen.files.values(), strict=True):
            with Image.open(path) as picture:
                assert picture.tobytes() == painted(cell.request).tobytes()
    assert max(map(len, cascade.steps)) == TOGETHER
    alone = sum(cell.request.prior_steps + cell.request.decoder_steps for cell in seen.grid.cells)
    assert len(cascade.steps) < alone / 3


def test_in_the_real_engine_a_stop_leaves_nothing_to_be_drawn():
    cascade = FakeCascade()
    with Local(cascade) as engine:
        begun = comparison(replace(studio(), engine=engine), across=("seed", "1-36"))
        following = begun.follow()
        seen = next(seen for seen in following if seen.files)
        begun.stop()
        *_, last = following
        assert (last.state, last.files.items() >= seen.files.items()) == ("stopped", True)
        alone = replace(seen.grid.base, seed=99)
        with closing(engine.submit(alone, "somebody else")) as ticket:
            list(ticket)
        first = next(k for k, step in enumerate(cascade.steps) if (99, "prior", 0) in step)
    assert all({seed for seed, _, _ in step} == {99} for step in cascade.steps[first + 1 :])


def test_in_the_real_engine_what_is_left_goes_on_and_no_cell_is_drawn_twice():
    held = Held()
    cascade = FakeCascade(between=held)
    with Local(cascade, grace=60) as engine:
        begun = comparison(replace(studio(), engine=engine), across=("seed", "1-12"))
        following = begun.follow()
        next(following)
        held.before = 5
        next(seen for seen in following if seen.state == "drawing")
        following.close()
        held.go_on()
        *_, last = begun.follow()
    assert last.state == "done"
    assert len(last.files) == 12
    starts = [seed for step in cascade.steps for seed, stage, number in step if (stage, number) == ("prior", 0)]
    assert sorted(starts) == list(range(1, 13))


def test_who_follows_it_anew_takes_it_over_and_the_older_reader_is_told_so():
    held = Held()
    with Local(FakeCascade(between=held), grace=60) as engine:
        begun = comparison(replace(studio(), engine=engine), across=("seed", "1-12"))
        held.hold()
        older = begun.follow()
        next(older)
        read = []
        reader = threading.Thread(target=lambda: read.extend(older))
        reader.start()
        newer = begun.follow()
        next(newer)
        held.go_on()
        reader.join(60)
        *_, last = newer
    assert (read[-1].state, read[-1].message) == ("stopped", ELSEWHERE)
    assert last.state == "done"
    assert len(last.files) == 12
