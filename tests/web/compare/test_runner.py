"""A comparison from its values to its last board, on an engine of arithmetic."""

import itertools
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from PIL import Image

from tests.fakes.cascade import FakeCascade, painted
from tests.fakes.web import FakePipeline, StepGate, expected_image, fake_context
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.zerogpu import GeneratorEngine
from wuerst_demo.errors import QueueFull, StorageError, UserError
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.web.compare.runner import (
    MAX_CELLS_IN_ENGINE,
    OPENED_ELSEWHERE_MESSAGE,
    ComparisonRequest,
    ComparisonRun,
)

CAT = {"prompt": "a cat", "seed": 7}


def comparison(made, values=CAT, across=("seed", "1-3"), down=("", "")):
    return ComparisonRun(made, ComparisonRequest(values, across, down), "somebody", clock=itertools.count().__next__)


def boards(made, values=CAT, across=("seed", "1-3"), down=("", "")):
    return list(comparison(made, values, across, down).follow())


class Room:
    """An engine with room for `most` requests that records its clients."""

    def __init__(self, pipeline, most=100):
        self._plain = GeneratorEngine(pipeline.run)
        self._most = most
        self.open = 0
        self.fullest = 0
        self.sessions = set()

    def submit(self, request, session, address=""):
        if self.open >= self._most:
            raise QueueFull("The queue is full (3); try again in about 5 s.", 5.0)
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


def roomy(pipeline, most=100):
    return replace(fake_context(pipeline), engine=Room(pipeline, most))


def test_every_cell_is_the_image_of_its_own_request():
    made = comparison(fake_context(), down=("prior_steps", "5, 10"))
    *_, seen = made.follow()
    assert seen.state == "done"
    assert len(seen.files) == 6
    for cell, path in zip(seen.grid.cells, seen.files.values(), strict=True):
        found = read_image_settings(path)
        assert fake_context().limits.request(found.values) == cell.request


def test_cells_finish_in_order_and_progress_never_falls():
    seen = boards(fake_context())
    counts = [len(board.files) for board in seen]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}
    fractions = [board.fraction for board in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert max(fractions[:-1]) <= 1


def test_the_number_of_cells_in_the_engine_is_limited():
    made = roomy(FakePipeline())
    assert len(boards(made, across=("seed", "1-6"), down=("prior_steps", "1-4"))[-1].files) == 24
    assert made.engine.fullest == MAX_CELLS_IN_ENGINE
    assert made.engine.sessions == {"somebody"}
    assert made.engine.open == 0


def test_with_a_full_queue_the_next_cell_waits_for_an_earlier_one():
    made = roomy(FakePipeline(), most=2)
    assert boards(made)[-1].state == "done"
    assert made.engine.fullest == 2


def test_without_any_room_the_queue_error_is_shown():
    last = boards(roomy(FakePipeline(), most=0))[-1]
    assert (last.state, last.message) == ("rejected", "The queue is full (3); try again in about 5 s.")


def test_invalid_values_are_rejected_before_anything_is_submitted():
    pipeline = FakePipeline()
    for values, across, said in (
        (CAT, ("seed", "x"), "Seed must be a whole number"),
        (CAT | {"prompt": "a {cat|syntax}"}, ("prompt", ""), "The prompt's brackets cannot be read"),
        (CAT, ("prompts", "# pets\na cat\na syntax"), "Line 3: The prompt's brackets cannot be read"),
        (CAT | {"width": 300}, ("seed", "1"), "Width is 300"),
    ):
        with pytest.raises(UserError, match=said):
            comparison(fake_context(pipeline), values, across)
    assert pipeline.requests == []


def test_a_failed_cell_says_why_and_the_others_go_on():
    last = boards(fake_context(), {"prompt": "a {cat|refuse|dog}"}, ("prompt", ""))[-1]
    assert last.state == "done"
    assert [result.state for result in last.results] == ["done", "failed", "done"]
    assert last.results[1].message == "The fake engine refuses this; ask for something else."
    assert last.message.startswith("2 of 3 pictures")


def test_an_internal_error_ends_it_without_details_and_keeps_finished_cells(caplog):
    last = boards(fake_context(), {"prompt": "a {cat|break}"}, ("prompt", ""))[-1]
    assert last.state == "failed"
    assert "secret" not in last.message
    assert list(last.files) == [0]


@pytest.mark.parametrize("after", [1, 3, 6])
def test_stop_cancels_running_cells_and_keeps_finished_ones(after):
    pipeline = FakePipeline()
    made = roomy(pipeline)
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
    assert pipeline.running == 0
    assert len(pipeline.requests) < 20
    assert all(path.exists() for path in last.files.values())
    begun.close()
    assert not any(path.exists() for path in last.files.values())


def test_a_resumed_comparison_goes_on_where_it_stood():
    """This engine cancels what is not read: only the cells in progress are generated again."""
    pipeline = FakePipeline()
    begun = comparison(roomy(pipeline), across=("seed", "1-20"))
    following = begun.follow()
    left = next(seen for seen in following if len(seen.files) == 3)
    following.close()
    assert pipeline.running == 0
    again = begun.follow()
    assert next(again).results == left.results
    *_, last = again
    assert last.state == "done"
    assert len(last.files) == 20
    assert [pipeline.requests.count(cell.request) for cell in last.grid.cells[:3]] == [1, 1, 1]
    for cell, path in zip(last.grid.cells, last.files.values(), strict=True):
        with Image.open(path) as picture:
            assert picture.tobytes() == expected_image(cell.request).tobytes()


def test_a_finished_comparison_repeats_its_last_view():
    begun = comparison(fake_context())
    *_, last = begun.follow()
    assert list(begun.follow()) == [last]
    begun.stop()
    assert list(begun.follow()) == [last]


def test_a_comparison_stopped_without_a_reader_is_found_stopped():
    begun = comparison(fake_context(), across=("seed", "1-20"))
    following = begun.follow()
    next(seen for seen in following if len(seen.files) == 2)
    following.close()
    begun.stop()
    (last,) = begun.follow()
    assert (last.state, last.message) == ("stopped", "Stopped. The 2 finished pictures are kept.")


def test_a_comparison_stopped_by_a_leaving_reader_runs_no_further():
    pipeline = FakePipeline()
    begun = comparison(fake_context(pipeline), across=("seed", "1-20"))
    following = begun.follow()
    next(seen for seen in following if len(seen.files) == 2)
    begun.stop()
    following.close()
    (last,) = begun.follow()
    assert (last.state, len(last.files)) == ("stopped", 2)
    assert len(pipeline.requests) < 10


def test_a_full_queue_on_resuming_does_not_end_the_comparison():
    made = roomy(FakePipeline())
    begun = comparison(made, across=("seed", "1-5"))
    following = begun.follow()
    next(seen for seen in following if len(seen.files) == 2)
    following.close()
    made.engine.full()
    *_, last = begun.follow()
    assert (last.state, len(last.files)) == ("rejected", 2)
    made.engine.full(100)
    *_, last = begun.follow()
    assert (last.state, len(last.files)) == ("done", 5)


def test_time_without_a_reader_does_not_count():
    now = [0.0]
    begun = ComparisonRun(
        fake_context(), ComparisonRequest(CAT, ("seed", "1-3"), ("", "")), "somebody", clock=lambda: now[0]
    )
    following = begun.follow()
    next(following)
    now[0] += 2
    next(seen for seen in following if seen.files)
    following.close()
    now[0] += 1000
    *_, last = begun.follow()
    assert last.message == "3 pictures in 2.0 s"


def test_ending_a_comparison_under_its_reader_leaves_no_file():
    with Engine(FakeCascade()) as engine:
        begun = comparison(replace(fake_context(), engine=engine), across=("seed", "1-8"))
        following = begun.follow()
        seen = next(seen for seen in following if seen.files)
        begun.close()
        *_, last = following
    assert last.state == "stopped"
    assert not any(path.parent.exists() for path in (seen.files | last.files).values())


def test_a_full_disk_is_reported_without_the_servers_folders():
    def full(result, folder, *, texts=None):
        raise StorageError(f"The disk is full, so nothing was written to the folder {folder}; free some space.")

    last = boards(replace(fake_context(), save_image=full))[-1]
    assert last.state == "rejected"
    assert "/" not in last.message


def test_cell_files_have_the_pixels_of_the_engine():
    made = comparison(fake_context(), across=("seed", "1-2"))
    *_, seen = made.follow()
    for cell, path in zip(seen.grid.cells, seen.files.values(), strict=True):
        with Image.open(path) as picture:
            assert picture.tobytes() == expected_image(cell.request).tobytes()


def test_a_stopped_engine_is_reported_at_once():
    class Stopped(Room):
        def submit(self, request, session, address=""):
            raise UserError("The program is closing; try again when it is back.")

    last = boards(replace(fake_context(), engine=Stopped(FakePipeline())))[-1]
    assert (last.state, last.message) == ("rejected", "The program is closing; try again when it is back.")


def test_in_the_engine_cells_share_steps_and_give_the_same_images():
    everybody_is_there = threading.Barrier(2)
    submitted = iter(range(8))

    class Counting(Engine):
        def submit(self, request, session, stages=False, address=""):
            ticket = super().submit(request, session, stages, address=address)
            if next(submitted) == 7:
                everybody_is_there.wait(240)
            return ticket

    waiting = iter([True])
    cascade = FakeCascade(between=lambda: next(waiting, False) and everybody_is_there.wait(240))
    with Counting(cascade) as engine:
        begun = comparison(replace(fake_context(), engine=engine), across=("seed", "1-4"), down=("prior_steps", "5, 6"))
        *_, seen = begun.follow()
        assert len(seen.files) == 8
        for cell, path in zip(seen.grid.cells, seen.files.values(), strict=True):
            with Image.open(path) as picture:
                assert picture.tobytes() == painted(cell.request).tobytes()
    assert max(map(len, cascade.steps)) == MAX_CELLS_IN_ENGINE
    alone = sum(cell.request.prior_steps + cell.request.decoder_steps for cell in seen.grid.cells)
    assert len(cascade.steps) < alone / 3


def test_in_the_engine_stop_leaves_nothing_to_compute():
    cascade = FakeCascade()
    with Engine(cascade) as engine:
        begun = comparison(replace(fake_context(), engine=engine), across=("seed", "1-36"))
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


def test_in_the_engine_a_resumed_comparison_computes_no_cell_twice():
    gate = StepGate()
    cascade = FakeCascade(between=gate)
    with Engine(cascade, grace_s=60) as engine:
        begun = comparison(replace(fake_context(), engine=engine), across=("seed", "1-12"))
        following = begun.follow()
        next(following)
        gate.hold_before = 5
        next(seen for seen in following if seen.state == "running")
        following.close()
        gate.release()
        *_, last = begun.follow()
    assert last.state == "done"
    assert len(last.files) == 12
    starts = [seed for step in cascade.steps for seed, stage, number in step if (stage, number) == ("prior", 0)]
    assert sorted(starts) == list(range(1, 13))


def test_a_new_reader_takes_over_and_the_older_one_is_notified():
    gate = StepGate()
    with Engine(FakeCascade(between=gate), grace_s=60) as engine:
        begun = comparison(replace(fake_context(), engine=engine), across=("seed", "1-12"))
        gate.hold()
        older = begun.follow()
        next(older)
        read = []
        reader = threading.Thread(target=lambda: read.extend(older))
        reader.start()
        newer = begun.follow()
        next(newer)
        gate.release()
        reader.join(60)
        *_, last = newer
    assert (read[-1].state, read[-1].message) == ("stopped", OPENED_ELSEWHERE_MESSAGE)
    assert last.state == "done"
    assert len(last.files) == 12
