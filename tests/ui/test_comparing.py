"""A comparison from its values to its last board, on an engine of arithmetic."""

import itertools
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from PIL import Image

from tests.fakes import FakeCascade, painted
from tests.ui.fakes import Painter, paint, studio
from wuerst_demo.engine.local import Local
from wuerst_demo.errors import Busy, StorageError, UserError
from wuerst_demo.metadata import from_png
from wuerst_demo.ui.comparing import TOGETHER, compare
from wuerst_demo.ui.plain import Plain

CAT = {"prompt": "a cat", "seed": 7}


def boards(made, values=CAT, across=("seed", "1-3"), down=("", "")):
    return list(compare(made, values, across, down, "somebody", clock=itertools.count().__next__))


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

    def estimate(self, request):
        return None


class Counted:
    def __init__(self, ticket, room):
        self._ticket, self._room, self._closed = ticket, room, False

    def __iter__(self):
        return iter(self._ticket)

    def cancel(self):
        self._ticket.cancel()

    def close(self):
        if not self._closed:
            self._room.open -= 1
        self._closed = True
        self._ticket.close()


def roomy(painter, most=100):
    return replace(studio(painter), engine=Room(painter, most))


def test_every_cell_becomes_the_picture_that_its_request_draws_alone():
    for seen in compare(studio(), CAT, ("seed", "1-3"), ("prior_steps", "5, 10"), "somebody"):
        if seen.over:
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
        (last,) = boards(studio(painter), values, across)
        assert last.state == "refused"
        assert last.message.startswith(said)
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
def test_closing_it_stops_what_is_being_drawn_and_leaves_no_files(after):
    painter = Painter()
    made = roomy(painter)
    running = compare(made, CAT, ("seed", "1-20"), ("", ""), "somebody", clock=itertools.count().__next__)
    seen = [next(running) for _ in range(after)]
    running.close()
    assert made.engine.open == 0
    assert painter.running == 0
    assert len(painter.asked) < 20
    assert all(not path.exists() for path in seen[-1].files.values())


def test_a_full_disk_is_said_without_naming_the_servers_folders():
    def full(result, folder, *, texts=None):
        raise StorageError(f"The disk is full, so nothing was written to the folder {folder}; free some space.")

    last = boards(replace(studio(), save=full))[-1]
    assert last.state == "refused"
    assert "/" not in last.message


def test_the_pictures_are_those_of_the_painter():
    for seen in compare(studio(), CAT, ("seed", "1-2"), ("", ""), "somebody"):
        if seen.over:
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
        for seen in compare(replace(studio(), engine=engine), CAT, ("seed", "1-4"), ("prior_steps", "5, 6"), "me"):
            if seen.over:
                assert len(seen.files) == 8
                for cell, path in zip(seen.grid.cells, seen.files.values(), strict=True):
                    with Image.open(path) as picture:
                        assert picture.tobytes() == painted(cell.request).tobytes()
    assert max(map(len, cascade.steps)) == TOGETHER
    alone = sum(cell.request.prior_steps + cell.request.decoder_steps for cell in seen.grid.cells)
    assert len(cascade.steps) < alone / 3


def test_in_the_real_engine_closing_it_leaves_nothing_to_be_drawn():
    cascade = FakeCascade()
    with Local(cascade) as engine:
        running = compare(replace(studio(), engine=engine), CAT, ("seed", "1-36"), ("", ""), "somebody")
        for seen in running:
            if seen.files:
                break
        running.close()
        alone = replace(seen.grid.base, seed=99)
        with closing(engine.submit(alone, "somebody else")) as ticket:
            list(ticket)
        first = next(k for k, step in enumerate(cascade.steps) if (99, "prior", 0) in step)
    assert all({seed for seed, _, _ in step} == {99} for step in cascade.steps[first + 1 :])
