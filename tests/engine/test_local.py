"""The engine of the page on the fake cascade, turn by turn without its thread: whose events come when, and every way
in which a request can end."""

from __future__ import annotations

import gc
import weakref
from threading import Event

import pytest

from tests.engine.crowd import Clock, drain, ends, finish, request, results
from tests.fakes import FakeCascade, painted
from wuerst_demo.engine.device import TRUST
from wuerst_demo.engine.flight import WAITS
from wuerst_demo.engine.inline import Inline
from wuerst_demo.engine.local import Local
from wuerst_demo.errors import Busy, Cancelled, PromptError, UserError
from wuerst_demo.events import Done, Progress, Queued, Result


def test_a_request_gives_what_the_inline_engine_gives_after_its_place_in_line():
    wish = request(images=2)

    def told(events):
        return [
            (type(event), event.image, getattr(event, "stage", None), getattr(event, "step", None))
            for event in events
            if isinstance(event, Progress | Result)
        ]

    engine = Local(FakeCascade())
    events = drain(engine, wish)
    assert events[0] == Queued(1, None)
    assert told(events) == told(Inline(FakeCascade()).run(wish))
    assert isinstance(events[-1], Done)
    for result in results(events):
        assert result.picture.tobytes() == painted(wish.image(result.image)).tobytes()
        assert result.request == wish.image(result.image)
        assert list(result.seconds) == ["text", "prior", "decoder", "vqgan", "total"]


def test_pictures_are_there_before_the_request_ends():
    engine = Local(FakeCascade(), rows_at_once=1)
    ticket = engine.submit(request(images=3), "ann")
    for _ in range(1 + 2 + 1 + 1):  # the text, the steps of one picture, its pixels
        engine._turn()
    assert [result.image for result in results([next(ticket), next(ticket)])] == [0]


def test_rows_of_several_people_share_their_steps():
    cascade = FakeCascade()
    engine = Local(cascade)
    tickets = [engine.submit(request(seed=seed), f"person {seed}") for seed in range(4)]
    finish(engine)
    assert {len(step) for step in cascade.steps} == {4}
    assert all(isinstance(list(ticket)[-1], Done) for ticket in tickets)


def test_whoever_asks_for_one_does_not_wait_behind_somebodys_eight():
    cascade = FakeCascade()
    engine = Local(cascade, rows_at_once=1, waiting=20, per_session=20)
    many = engine.submit(request(images=8, seed=100), "ann")
    one = engine.submit(request(seed=1), "ben")
    turns = 0
    while not one._flight.over:
        engine._turn()
        turns += 1
    assert turns <= 2 * (1 + 2 + 1 + 1)  # two people: every second turn
    finish(engine)
    assert len(results(many)) == 8


def test_waiting_people_are_told_their_place_and_the_time_it_takes():
    clock = Clock()
    engine = Local(FakeCascade(between=lambda: clock.pass_by(2)), clock=clock)
    engine.submit(request(), "before").close()
    first = engine.submit(request(), "ann")
    second = engine.submit(request(), "ben")
    third = engine.submit(request(), "ben")
    assert [next(ticket) for ticket in (first, second, third)] == [Queued(1), Queued(2), Queued(4)]
    finish(engine)
    waiting = [engine.submit(request(), name) for name in ("ann", "ben")]
    assert [next(ticket).position for ticket in waiting] == [1, 2]
    assert next(engine.submit(request(), "cid")).wait is not None


def test_a_cancelled_request_takes_no_further_step_and_the_others_go_on():
    cascade = FakeCascade()
    engine = Local(cascade)
    stopped, other = engine.submit(request(seed=1), "ann"), engine.submit(request(seed=2), "ben")
    for _ in range(3):
        engine._turn()
    stopped.cancel()
    steps = len(cascade.steps)
    finish(engine)
    assert all(seed == 2 for step in cascade.steps[steps:] for seed, *_ in step)
    with pytest.raises(Cancelled):
        list(stopped)
    assert len(results(other)) == 1
    stopped.cancel()
    other.cancel()
    assert list(other) == []  # ended before, and read to its end


def test_a_cancel_in_the_middle_of_a_step_takes_effect_with_it():
    cascade = FakeCascade()
    engine = Local(cascade)
    ticket = engine.submit(request(), "ann")
    cascade.between = ticket.cancel
    finish(engine)
    assert len(cascade.steps) == 1
    with pytest.raises(Cancelled):
        list(ticket)


def test_the_rows_of_a_cancelled_request_are_let_go():
    engine = Local(FakeCascade())
    ticket = engine.submit(request(images=2), "ann")
    engine._turn()
    engine._turn()
    rows = [weakref.ref(row) for row in ticket._flight._rows.values()]
    assert all(row() for row in rows)
    ticket.cancel()
    engine._turn()
    assert not any(row() for row in rows)


def test_without_a_grace_time_whoever_stops_reading_stops_the_request():
    cascade = FakeCascade()
    engine = Local(cascade)
    run = engine.run(request())
    next(run)
    engine._turn()
    engine._turn()
    run.close()
    finish(engine)
    assert len(cascade.steps) == 1


def test_a_lost_ticket_stops_its_request():
    engine = Local(FakeCascade())
    engine.submit(request(), "ann")
    gc.collect()
    assert not engine._turn()
    assert not engine._flights


def test_a_request_goes_on_unread_for_the_grace_time_and_is_found_again():
    clock = Clock()
    engine = Local(FakeCascade(), grace=30, clock=clock)
    ticket = engine.submit(request(images=2), "ann")
    next(ticket)
    ticket.close()
    assert list(ticket) == []
    finish(engine)
    clock.pass_by(29)
    found = list(engine.attach(ticket.id, "ann"))
    assert [result.image for result in results(found)] == [0, 1]
    assert isinstance(found[-1], Done)
    clock.pass_by(2)
    with pytest.raises(UserError, match="no such drawing"):
        engine.attach(ticket.id, "ann")
    assert not engine._flights


def test_a_request_that_nobody_comes_back_for_is_stopped_and_forgotten():
    clock = Clock()
    cascade = FakeCascade()
    engine = Local(cascade, grace=30, clock=clock)
    ticket = engine.submit(request(prior_steps=9), "ann")
    engine._turn()
    engine._turn()
    ticket.close()
    clock.pass_by(30)
    finish(engine)
    assert len(cascade.steps) == 1
    assert not engine._flights


def test_attached_again_one_reads_the_newest_and_everything_finished():
    engine = Local(FakeCascade(), rows_at_once=1, grace=30)
    ticket = engine.submit(request(images=2, prior_steps=4), "ann")
    ticket.close()
    for _ in range(1 + 4 + 1 + 1 + 3):
        engine._turn()
    again = engine.attach(ticket.id, "ann")
    progress, result, newest = next(again), next(again), next(again)
    assert (progress.stage, result.image) == ("vqgan", 0)
    assert (newest.image, newest.stage, newest.step, newest.of) == (1, "prior", 3, 4)


def test_nobody_else_can_attach_or_cancel():
    engine = Local(FakeCascade(), grace=30)
    ticket = engine.submit(request(), "ann")
    ticket.close()
    for id, session in ((ticket.id, "ben"), (ticket.id, ""), ("", "ann"), (None, "ann"), ([], "ann")):
        with pytest.raises(UserError, match="no such drawing"):
            engine.attach(id, session)
        engine.cancel(id, session)
    again = engine.attach(ticket.id, "ann")
    engine.cancel(ticket.id, "ann")
    with pytest.raises(Cancelled):
        list(again)


def test_a_second_reader_is_refused_and_the_first_reads_on():
    engine = Local(FakeCascade(), grace=30)
    ticket = engine.submit(request(), "ann")
    with pytest.raises(UserError, match="watched already"):
        engine.attach(ticket.id, "ann")
    finish(engine)
    assert len(results(ticket)) == 1


def test_whoever_has_left_cannot_take_the_next_reader_along():
    engine = Local(FakeCascade())
    ticket = engine.submit(request(), "ann")
    ticket.close()
    again = engine._ticket(ticket._flight)
    ticket.close()
    del ticket
    finish(engine)
    assert len(results(again)) == 1


def test_ids_are_long_and_never_the_same():
    engine = Local(FakeCascade())
    ids = {engine.submit(request(), f"person {k}").id for k in range(50)}
    assert len(ids) == 50
    assert min(map(len, ids)) >= 20


@pytest.mark.parametrize("session", [None, "", 7, b"ann", "a" * 201])
def test_what_is_no_session_is_refused(session):
    with pytest.raises(UserError, match="session"):
        Local(FakeCascade()).submit(request(), session)


def test_a_full_engine_says_when_to_come_back_and_takes_more_then():
    clock = Clock()
    engine = Local(FakeCascade(between=lambda: clock.pass_by(1)), waiting=6, per_session=4, clock=clock)
    first = engine.submit(request(images=4), "ann")
    with pytest.raises(Busy, match=r"one person may have.*in a minute"):
        engine.submit(request(), "ann")
    second = engine.submit(request(images=2), "ben")
    with pytest.raises(Busy, match="line is full") as refused:
        engine.submit(request(), "cid")
    assert refused.value.wait is None  # nothing has been measured yet
    finish(engine)
    assert len(results(first)) + len(results(second)) == 6
    kept = engine.submit(request(images=6), "ann")  # more than ann may have, but there is nothing else
    with pytest.raises(Busy) as refused:
        engine.submit(request(images=6), "cid")
    # Six images in one batch: three steps of a second each.
    assert refused.value.wait == pytest.approx(3)
    assert "in about 3 s" in str(refused.value)
    kept.close()
    assert len(results(drawn(engine, request(images=6), "cid"))) == 6


def drawn(engine, wish, session):
    ticket = engine.submit(wish, session)
    finish(engine)
    return list(ticket)


def test_an_estimate_comes_from_what_was_measured_and_from_who_is_there():
    clock = Clock()
    engine = Local(FakeCascade(between=lambda: clock.pass_by(0.5)), clock=clock)
    wish = request(prior_steps=10, decoder_steps=4)
    assert engine.estimate(wish) is None
    drawn(engine, wish, "ann")
    assert engine.estimate(wish) == pytest.approx(7)
    assert engine.estimate(request(width=256)) is None
    ticket = engine.submit(request(prior_steps=4, decoder_steps=2), "ben")
    assert engine.estimate(wish) == pytest.approx(7 + 3)
    ticket.close()


def test_a_slow_reader_gets_the_newest_progress_and_every_picture():
    engine = Local(FakeCascade())
    ticket = engine.submit(request(images=3, prior_steps=50, decoder_steps=50), "ann")
    finish(engine)
    events = list(ticket)
    assert len(events) == 3 + 3 + 1
    assert [result.image for result in results(events)] == [0, 1, 2]


def test_memory_that_runs_out_halves_the_batch_and_the_size_is_remembered():
    cascade = FakeCascade(fault=lambda rows: MemoryError() if len(rows) > 2 else None)
    engine = Local(cascade, rows_at_once=8)
    assert len(results(drawn(engine, request(images=8, prior_steps=3), "ann"))) == 8
    sizes = [len(step) for step in cascade.steps]
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[3:]) == 2
    steps = len(cascade.steps)
    assert len(results(drawn(engine, request(images=4), "ben"))) == 4
    assert max(len(step) for step in cascade.steps[steps:]) == 2


def test_a_shortage_of_memory_is_forgiven_after_many_good_steps():
    full = Event()
    full.set()
    cascade = FakeCascade(fault=lambda rows: MemoryError() if full.is_set() and len(rows) > 4 else None)
    engine = Local(cascade, rows_at_once=8)
    drawn(engine, request(images=8, prior_steps=3), "ann")
    assert len(cascade.steps[0]) == 8 > len(cascade.steps[1])
    full.clear()
    for _ in range(TRUST // 50):
        drawn(engine, request(images=8, prior_steps=50, decoder_steps=50), "ann")
    steps = len(cascade.steps)
    drawn(engine, request(images=8), "ben")
    assert {len(step) for step in cascade.steps[steps:]} == {8}


def test_before_it_is_tried_again_kept_memory_is_given_back():
    cascade = FakeCascade(fault=lambda rows: MemoryError() if len(rows) > 2 else None)
    drawn(Local(cascade, rows_at_once=8), request(images=8), "ann")
    refused = [step for step in cascade.steps if len(step) > 2]
    assert len(refused) >= 2
    assert cascade.relieved == len(refused)


def test_a_row_that_comes_to_nothing_on_its_way_is_said_after_the_others_have_come():
    cascade = FakeCascade(withered=[(8, "prior", 1), (80, "decoder", 0)])
    engine = Local(cascade)
    gone, other = engine.submit(request(seed=80), "ben"), engine.submit(request(seed=90), "cid")
    ticket = engine.submit(request(images=3, seed=7, prior_steps=4), "ann")
    finish(engine)
    seen, end = ends(ticket)
    assert [result.image for result in results(seen)] == [0, 2]
    assert "withered" in end
    assert "withered" in ends(gone)[1]
    assert len(results(other)) == 1
    steps = [(seed, stage, step) for rows in cascade.steps for seed, stage, step in rows]
    assert not any(seed == 8 and (stage, step) > ("prior", 1) for seed, stage, step in steps)
    assert not engine._flights or engine._turn() is False


def test_the_inline_engine_leaves_out_a_row_that_comes_to_nothing_too():
    seen = []
    with pytest.raises(UserError, match="withered"):
        seen.extend(Inline(FakeCascade(withered=[(8, "prior", 1)])).run(request(images=3)))
    assert [result.image for result in results(seen)] == [0, 2]
    assert not any(isinstance(event, Done) for event in seen)


def test_a_row_that_does_not_fit_alone_ends_its_request_and_no_other():
    cascade = FakeCascade(fault=lambda rows: MemoryError() if rows[0].request.width > 512 else None)
    engine = Local(cascade)
    large, small = engine.submit(request(width=640, images=2), "ann"), engine.submit(request(width=512), "ben")
    finish(engine)
    with pytest.raises(UserError, match="640 x 1024; choose a smaller size"):
        list(large)
    assert len(results(small)) == 1


def test_a_row_for_which_others_leave_no_memory_waits_until_one_of_them_has_ended():
    small = []
    cascade = FakeCascade(
        fault=lambda rows: MemoryError() if rows[0].request.width > 512 and not small[0]._flight.over else None
    )
    engine = Local(cascade)
    small.append(engine.submit(request(width=512, decoder_steps=20), "ben"))
    large = engine.submit(request(width=640, images=2), "ann")
    finish(engine)
    assert len(results(small[0])) == 1
    assert len(results(large)) == 2
    tries = [rows for rows in cascade.steps if len(rows) == 1 and rows[0][0] != small[0]._flight.request.seed]
    assert len(tries) <= 5  # halved, tried alone, and then not before there is room


def test_of_two_rows_that_leave_each_other_no_memory_one_is_drawn():
    tickets = []

    def fault(rows):
        both = [ticket for ticket in tickets if not ticket._flight.over]
        return MemoryError() if len(both) == 2 and rows[0].stage == "vqgan" else None

    engine = Local(FakeCascade(fault=fault))
    tickets += [engine.submit(request(width=width), str(width)) for width in (512, 640)]
    finish(engine)
    said = [ends(ticket)[1] for ticket in tickets]
    assert said[0] == "Done"  # it waited for the other, which nobody else could make room for
    assert "choose a smaller size" in said[1]


def test_a_row_that_no_end_of_others_makes_room_for_is_held_for_too_large():
    cascade = FakeCascade(fault=lambda rows: MemoryError() if rows[0].request.width > 512 else None)
    engine = Local(cascade)
    large = engine.submit(request(width=640), "ann")
    others = [
        engine.submit(request(width=512, seed=k, prior_steps=10 * (k + 1)), f"person {k}") for k in range(WAITS + 2)
    ]
    while not large._flight.over:
        assert engine._turn()
    assert "choose a smaller size" in ends(large)[1]
    tries = [rows for rows in cascade.steps if rows == [(7, "prior", 0)]]
    assert len(tries) == WAITS + 1
    finish(engine)
    assert all(len(results(other)) == 1 for other in others)


def test_waits_that_have_helped_are_not_held_against_a_request_of_many_pictures():
    others = []

    def fault(rows):
        gone = sum(other._flight.over for other in others)
        decoded = sum(1 for row in range(6) if row not in large._flight._rows) if large._flight.begun else 0
        large_one = rows[0].request.width > 512 and rows[0].stage == "vqgan"
        return MemoryError() if large_one and decoded >= gone else None

    engine = Local(FakeCascade(fault=fault), waiting=99)
    large = engine.submit(request(width=640, images=6), "ann")
    others += [engine.submit(request(width=512, prior_steps=10 * (k + 1)), f"person {k}") for k in range(8)]
    finish(engine)
    assert len(results(large)) == 6
    assert all(len(results(other)) == 1 for other in others)


def test_the_guilty_row_alone_fails_and_the_log_says_why(caplog):
    def fault(rows):
        return RuntimeError("a fault of ours") if any(row.request.seed == 2 for row in rows) else None

    engine = Local(FakeCascade(fault=fault))
    tickets = [engine.submit(request(seed=seed), f"person {seed}") for seed in range(4)]
    finish(engine)
    for seed, ticket in enumerate(tickets):
        if seed == 2:
            with pytest.raises(UserError, match="in the server's log; try again"):
                list(ticket)
        else:
            assert len(results(ticket)) == 1
    assert "a fault of ours" in caplog.text
    assert "a red cat" not in caplog.text


def test_a_fault_that_does_not_come_again_costs_nobody_a_picture():
    cascade = FakeCascade(failures={0: RuntimeError("once"), 4: RuntimeError("again")})
    engine = Local(cascade)
    tickets = [engine.submit(request(seed=seed), f"person {seed}") for seed in range(2)]
    finish(engine)
    assert [len(results(ticket)) for ticket in tickets] == [1, 1]


def test_a_prompt_that_cannot_be_read_ends_its_request_with_its_own_words():
    class Strict(FakeCascade):
        def begin(self, request):
            if "(" in request.prompt:
                raise PromptError("Close the bracket.")
            if "!" in request.prompt:
                raise RuntimeError("a fault of ours")
            return super().begin(request)

    engine = Local(Strict())
    tickets = [engine.submit(request(prompt=prompt), "ann") for prompt in ("(a cat", "a cat!", "a cat")]
    finish(engine)
    with pytest.raises(PromptError, match="Close the bracket"):
        list(tickets[0])
    with pytest.raises(UserError, match="server's log"):
        list(tickets[1])
    assert len(results(tickets[2])) == 1


def test_a_spoilt_picture_is_said_after_the_others_have_come():
    engine = Local(FakeCascade(spoilt=[8]))
    other = engine.submit(request(seed=80), "ben")
    ticket = engine.submit(request(images=3, seed=7), "ann")
    finish(engine)
    seen, end = ends(ticket)
    assert [result.image for result in results(seen)] == [0, 2]
    assert "spoilt" in end
    assert len(results(other)) == 1


def test_rows_that_get_lost_in_a_step_are_a_fault_and_never_another_rows_picture():
    class Losing(FakeCascade):
        def step(self, rows):
            return super().step(rows)[1:]

    engine = Local(Losing())
    ticket = engine.submit(request(images=2), "ann")
    finish(engine)
    assert ends(ticket)[1].startswith("This could not be drawn")
