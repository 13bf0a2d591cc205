"""The page's engine with its own thread and readers in threads of theirs: waiting, stopping, dying, and a storm."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.engine.crowd import Clock, ends, request, results
from tests.engine.test_watch import ended, read
from tests.fakes import FakeCascade, FakeRow, painted
from wuerst_demo.engine.flight import Flight
from wuerst_demo.engine.flights import STOPPED
from wuerst_demo.engine.local import Local
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.engine.owner import CLOSING, DIED, FAILED, NOT_STARTED, Owner
from wuerst_demo.errors import Busy, Cancelled, DeviceLost, PromptError, UserError
from wuerst_demo.events import Done, Queued, Result


def test_requests_from_many_threads_are_drawn_each_with_its_own_pictures():
    def draw(seed):
        return list(engine.run(request(seed=seed, images=2), f"person {seed}"))

    with Local(FakeCascade()) as engine, ThreadPoolExecutor(8) as pool:
        assert engine.alive
        for seed, events in enumerate(pool.map(draw, range(24))):
            assert isinstance(events[-1], Done)
            for result in results(events):
                assert result.picture.tobytes() == painted(request(seed=seed).image(result.image)).tobytes()
    assert not engine.alive


def test_an_end_that_comes_just_before_the_thread_looks_again_is_not_missed():
    class Late(threading.Event):
        def clear(self):
            owner._finish(CLOSING)
            super().clear()

    owner = Owner(lambda: None, lambda reason: None, lambda: None)
    owner._work = Late()
    owner.start()
    owner._thread.join(30)
    assert not owner._thread.is_alive()


def test_somebody_who_waits_hears_again_so_that_a_face_can_notice_who_has_gone():
    ticket = Local(FakeCascade()).submit(request(), "ann")  # never started: nothing will come
    assert [next(ticket), next(ticket)] == [Queued(1), Queued(1)]


def test_a_ticket_closed_from_another_thread_wakes_its_reader():
    ticket = Local(FakeCascade()).submit(request(), "ann")
    next(ticket)
    threading.Timer(0.05, ticket.close).start()
    assert list(ticket) == []


def test_a_cancel_wakes_the_reader_at_once():
    hold = threading.Event()
    with Local(FakeCascade(between=lambda: hold.wait(20))) as engine:
        ticket = engine.submit(request(), "ann")
        ticket.cancel()
        assert ends(ticket)[1] == STOPPED  # though the step is still going on
        hold.set()


def test_closing_ends_what_waits_and_what_is_drawn_and_takes_no_more():
    reached, hold = threading.Event(), threading.Event()

    def between():
        reached.set()
        hold.wait(20)

    engine = Local(FakeCascade(between=between))
    engine.start()
    tickets = [engine.submit(request(seed=seed), f"person {seed}") for seed in range(5)]
    reached.wait(20)
    threading.Timer(0.05, hold.set).start()
    engine.close()
    assert [ends(ticket)[1] for ticket in tickets] == [CLOSING] * 5
    with pytest.raises(UserError, match="closing"):
        engine.submit(request(), "ann")
    with pytest.raises(UserError, match="closing"):
        engine.attach(tickets[0].id, "person 0")
    engine.close()
    assert not engine.alive


def test_an_engine_that_was_never_started_closes_too():
    engine = Local(FakeCascade())
    ticket = engine.submit(request(), "ann")
    engine.close()
    assert ends(ticket)[1] == CLOSING


def test_an_engine_says_how_it_is():
    hold = threading.Event()
    clock = Clock()
    engine = Local(FakeCascade(between=lambda: hold.wait(20)), clock=clock)
    assert engine.health() == {"alive": False, "reason": NOT_STARTED, "last_step": None, "rows": 0}
    with engine:
        assert engine.health() == {"alive": True, "reason": "", "last_step": None, "rows": 0}
        ticket = engine.submit(request(), "ann")
        assert engine.health()["rows"] == 1
        hold.set()
        assert ends(ticket)[1] == "Done"
        clock.pass_by(5)
        assert engine.health() == {"alive": True, "reason": "", "last_step": 5, "rows": 0}
    assert engine.health() == {"alive": False, "reason": CLOSING, "last_step": 5, "rows": 0}


def test_an_engine_is_started_once():
    with Local(FakeCascade()) as engine, pytest.raises(RuntimeError):
        engine.start()


def test_when_the_thread_dies_every_request_ends_with_a_reason(caplog):
    engine = Local(FakeCascade(failures={3: SystemExit("the device is gone")}))
    tickets = [engine.submit(request(seed=seed, prior_steps=9), f"person {seed}") for seed in range(5)]
    with engine:
        assert [ends(ticket)[1] for ticket in tickets] == [DIED] * 5
        with pytest.raises(UserError, match="stopped through a fault"):
            engine.submit(request(), "ann")
        assert not engine.alive
    assert "the device is gone" in caplog.text


def fatal(at):
    return FakeCascade(failures={at: DeviceLost("an illegal memory access")})


def test_a_fault_of_the_device_ends_everything_and_the_engine_starts_over_where_it_answers(caplog):
    cascade = fatal(3)
    engine = Local(cascade)
    tickets = [engine.submit(request(seed=seed, prior_steps=9), f"person {seed}") for seed in range(5)]
    with engine:
        assert [ends(ticket)[1] for ticket in tickets] == [FAILED] * 5
        assert results(drawn_at_last(engine, request(seed=8)))[0].request.seed == 8
        assert engine.alive
    assert cascade.probed == 1
    assert "illegal memory access" in caplog.text
    assert "started over" in caplog.text
    assert "a red cat" not in caplog.text


def drawn_at_last(engine, wish):
    """Its events, asked for until the engine takes it: it refuses while it starts over."""
    while True:
        try:
            return list(engine.run(wish, "somebody"))
        except UserError as error:
            if str(error) != FAILED:
                raise


def test_where_the_device_does_not_answer_nobody_is_let_in_any_more():
    cascade = fatal(0)
    cascade.gone = True
    with Local(cascade) as engine:
        assert ends(engine.submit(request(), "ann"))[1] == FAILED
        engine._owner._thread.join(20)
        health = engine.health()
        assert (health["alive"], health["reason"]) == (False, DIED)
        with pytest.raises(UserError, match="stopped through a fault"):
            engine.submit(request(), "ann")


def test_while_the_device_is_asked_nobody_is_let_in_and_the_reason_is_said():
    asked, answer = threading.Event(), threading.Event()

    class Slow(FakeCascade):
        def probe(self):
            asked.set()
            answer.wait(20)

    with Local(Slow(failures={0: DeviceLost("gone for a while")})) as engine:
        ticket = engine.submit(request(), "ann")
        assert ends(ticket)[1] == FAILED
        asked.wait(20)
        assert engine.health()["reason"] == FAILED
        with pytest.raises(UserError, match="try again in a moment"):
            engine.submit(request(), "ann")
        answer.set()
        assert results(drawn_at_last(engine, request()))


def test_an_engine_starts_over_once_and_not_for_ever():
    cascade = FakeCascade(fault=lambda rows: DeviceLost("again and again"))
    with Local(cascade) as engine:
        assert ends(engine.submit(request(), "ann"))[1] == FAILED
        with pytest.raises(UserError, match="stopped through a fault"):
            drawn_at_last(engine, request())
        engine._owner._thread.join(20)
        assert not engine.alive
    assert cascade.probed == 1


def test_closing_while_the_device_is_asked_ends_the_thread_for_good():
    asked = threading.Event()

    class Slow(FakeCascade):
        def probe(self):
            asked.set()
            time.sleep(0.1)

    engine = Local(Slow(failures={0: DeviceLost("gone for a while")}))
    engine.start()
    ticket = engine.submit(request(), "ann")
    asked.wait(20)
    engine.close()
    assert ends(ticket)[1] == FAILED
    assert engine.health()["reason"] == CLOSING
    with pytest.raises(UserError, match="closing"):
        engine.submit(request(), "ann")


def test_an_idle_engine_forgets_what_nobody_comes_back_for():
    with Local(FakeCascade(), grace=0.01) as engine:
        list(engine.run(request(), "ann"))
        until = time.monotonic() + 20
        while engine._flights and time.monotonic() < until:
            time.sleep(0.01)
        assert not engine._flights


class Weather(FakeCascade):
    """Fails by what the prompt says, and where more rows go together than fit."""

    def begin(self, request):
        if "unreadable" in request.prompt:
            raise PromptError("Close the bracket.")
        return super().begin(request)


def fault(rows):
    if len(rows) > 5:
        return MemoryError()
    if any("huge" in row.request.prompt for row in rows):
        return MemoryError()
    if any("guilty" in row.request.prompt and row.stage == "decoder" for row in rows):
        return RuntimeError("a guilty row")
    return None


WISHES = ["fine"] * 12 + ["unreadable", "huge", "guilty", "spoilt", "stop", "leave", "lose", "slow", "back"]
SAID = {
    "unreadable": "Close the bracket",
    "huge": "not enough memory",
    "guilty": "could not be drawn",
    "spoilt": "spoilt",
    "stop": "was stopped",
}


@pytest.mark.slow
def test_in_a_storm_every_request_ends_once_with_its_own_pictures_or_one_reason(caplog):
    """2,000 requests of 64 people: out of memory, faults, unreadable prompts, spoilt pictures, cancels, slow readers,
    readers who leave and come back; some are turned away and come again."""
    caplog.set_level("CRITICAL")
    threads = threading.active_count()
    chance = random.Random(5)
    plans = [
        (k, chance.choice(WISHES), chance.choice([1, 1, 1, 2, 4]), 128 * chance.randint(1, 2)) for k in range(2000)
    ]
    spoilt = {1000 * k for k, kind, *_ in plans if kind == "spoilt"}
    told, guard, metrics = Counter(), threading.Lock(), Metrics()

    def live(part):
        """Eight people in one thread: all ask, then each reads. 250 requests."""
        for start in range(0, 250, 8):
            asked = []
            for k, kind, images, width in plans[part * 250 : part * 250 + 250][start : start + 8]:
                wish = request(prompt=f"{kind} {k}", seed=1000 * k, images=images, width=width, height=128)
                session = f"person {part} {k % 8}"
                ticket, attempts = admitted(engine, wish, session)
                asked.append((wish, kind, session, ticket))
                with guard:
                    told["attempts"] += attempts
            for each in asked:
                outcome = visited(engine, *each)
                with guard:
                    told[outcome] += 1
            del asked, each

    with Local(Weather(fault=fault, spoilt=spoilt), waiting=100, per_session=8, grace=60, watch=metrics) as engine:
        people = [threading.Thread(target=live, args=(part,)) for part in range(8)]
        for each in people:
            each.start()
        for each in people:
            each.join()
        assert engine.alive
    assert not [outcome for outcome in told if outcome.startswith("wrong")]
    attempts = told.pop("attempts")
    assert told.total() == 2000
    assert told["drawn"] > 1000
    counted(metrics, told, attempts)
    assert threading.active_count() == threads
    assert not engine._flights
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Flight | FakeRow)]


def admitted(engine, wish, session):
    """A ticket, and how many attempts it took."""
    attempt = 1
    while True:
        try:
            return engine.submit(wish, session), attempt
        except Busy:
            attempt += 1
            time.sleep(0.02)


def counted(metrics, told, attempts):
    """The numbers say what happened: each attempt has one end, and the ends are those that the visitors saw."""
    ends = Counter(ended(metrics))
    assert read(metrics)["requests_submitted_total"] == attempts == ends.total()
    assert ends.pop("refused", 0) == attempts - told.total()
    unseen = told["left"] + told["lost"]
    failed = sum(told[kind] for kind in ("unreadable", "huge", "guilty", "spoilt"))
    assert 0 <= ends["done"] - told["drawn"] <= unseen
    assert 0 <= ends["failed"] - failed <= unseen
    assert 0 <= ends["cancelled"] - told["stop"] <= unseen


def visited(engine, wish, kind, session, ticket):
    """Reads a ticket in the way of its kind; returns what came of it, "wrong ..." if it should not have."""
    if kind == "lose":
        return "lost"
    seen = [next(ticket)]
    if kind == "leave":
        ticket.close()
        return "left"
    if kind == "stop":
        engine.cancel(ticket.id, session)
    if kind == "slow":
        time.sleep(0.02)
    if kind == "back":
        ticket.close()
        seen, ticket = [], engine.attach(ticket.id, session)
    more, end = ends(ticket)
    if list(ticket):
        return "wrong: something came after the end"
    found = [event for event in [*seen, *more] if isinstance(event, Result)]
    for result in found:
        if result.picture.tobytes() != painted(wish.image(result.image)).tobytes():
            return "wrong picture"
    if kind not in SAID or (kind == "stop" and end == "Done"):
        numbers = [result.image for result in found]
        whole = sorted(numbers) == list(range(wish.images)) and end == "Done"
        return "drawn" if whole else f"wrong: {numbers} of {wish.images}, {end}"
    return kind if SAID[kind] in end else f"wrong reason: {end}"


def test_cancelled_is_what_a_stopped_request_says():
    ticket = Local(FakeCascade()).submit(request(), "ann")
    ticket.cancel()
    with pytest.raises(Cancelled):
        list(ticket)
