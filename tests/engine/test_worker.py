"""Worker thread: waiting for work, stopping, dying, recovering, and many clients at once; and the fair lock."""

from __future__ import annotations

import gc
import queue
import random
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from tests.engine.clients import Clock, ends, eventually, make_request, results
from tests.engine.test_metrics import ended, read
from tests.fakes.cascade import FakeCascade, FakeImageState, painted
from wuerst_demo.engine import engine as engine_module
from wuerst_demo.engine import worker as worker_module
from wuerst_demo.engine.engine import Engine
from wuerst_demo.engine.metrics import Metrics
from wuerst_demo.engine.request_state import RequestState
from wuerst_demo.engine.worker import (
    CLOSING_MESSAGE,
    DIED_MESSAGE,
    FAILED_MESSAGE,
    NOT_STARTED_MESSAGE,
    FairLock,
    WorkerThread,
)
from wuerst_demo.errors import DeviceLost, PromptError, QueueFull, UserError
from wuerst_demo.events import Result

# ---------------------------------------------------------------------------------------------------------- fair lock


def test_threads_get_the_fair_lock_in_the_order_of_arrival():
    lock, order, threads = FairLock(), [], []

    def take(name):
        with lock.acquire():
            order.append(name)

    with lock.acquire():
        for name in range(5):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            eventually(lambda name=name: lock.waiting == name + 1)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_a_thread_that_returns_at_once_does_not_shut_out_a_waiting_one():
    lock, order = FairLock(), []

    def take():
        with lock.acquire():
            order.append("other")

    with lock.acquire():
        thread = threading.Thread(target=take)
        thread.start()
        eventually(lambda: lock.waiting == 1)
    with lock.acquire():
        order.append("again")
    thread.join()
    assert order == ["other", "again"]


def test_an_exception_releases_the_fair_lock():
    lock = FairLock()
    with pytest.raises(ValueError, match="mine"), lock.acquire():
        raise ValueError("mine")
    assert lock.waiting == 0
    with lock.acquire():
        pass


# ------------------------------------------------------------------------------------------------------------ waiting


def worker_with(step, end=lambda reason: None, health_check=lambda: None):
    return WorkerThread(step, end, health_check)


def test_an_idle_worker_waits_until_it_is_woken():
    calls = queue.SimpleQueue()
    worker = worker_with(lambda: calls.put(1))  # returns None: nothing to do
    worker.start()
    calls.get(timeout=200)
    for _ in range(3):
        with pytest.raises(queue.Empty):
            calls.get(timeout=0.03)
        worker.wake()
        calls.get(timeout=200)
    worker.stop()


def test_an_idle_worker_with_requests_to_forget_waits_for_a_while():
    calls, pauses = queue.SimpleQueue(), iter([0.0, 0.01, 30.0])
    worker = worker_with(lambda: (calls.put(1), next(pauses))[1])
    worker.start()
    for _ in range(3):
        calls.get(timeout=200)
    with pytest.raises(queue.Empty):
        calls.get(timeout=0.05)
    worker.stop()


def test_an_idle_engine_takes_no_steps():
    class Counting(Engine):
        steps = 0

        def step(self, request_ids=None):
            self.steps += 1
            return super().step(request_ids)

    with Counting(FakeCascade()) as engine:
        assert ends(engine.run(make_request()))[1] == "Done"
        eventually(lambda: engine.request_count == 0)
        steps = engine.steps
        threading.Event().wait(0.05)
        assert engine.steps <= steps + 1


def test_an_idle_engine_forgets_what_has_expired(monkeypatch):
    monkeypatch.setattr(engine_module, "EXPIRY_INTERVAL_S", 0.01)
    clock = Clock()
    with Engine(FakeCascade(), grace_s=10, clock=clock) as engine:
        list(engine.run(make_request(), "ann"))
        assert engine.request_count == 1
        clock.advance(11)
        eventually(lambda: engine.request_count == 0)


# ----------------------------------------------------------------------------------------------------------- stopping


def test_stopping_waits_for_the_step_in_progress():
    reached, hold, finished = threading.Event(), threading.Event(), []

    def step():
        reached.set()
        hold.wait(200)
        finished.append(True)

    worker = worker_with(step)
    worker.start()
    reached.wait(200)
    threading.Timer(0.05, hold.set).start()
    worker.stop()
    assert finished == [True]


def test_a_stop_just_before_the_worker_looks_again_is_not_missed(monkeypatch):
    class Late(threading.Event):
        def clear(self):
            worker.stop()
            super().clear()

    ended_with = []
    names = {"Event": Late, "Thread": threading.Thread, "current_thread": threading.current_thread}
    monkeypatch.setattr(worker_module, "threading", SimpleNamespace(**names))
    worker = worker_with(lambda: None, end=ended_with.append)
    worker.start()
    eventually(lambda: "device" not in [thread.name for thread in threading.enumerate()])
    assert set(ended_with) == {CLOSING_MESSAGE}


def test_closing_ends_all_requests_and_takes_no_more():
    reached, hold = threading.Event(), threading.Event()

    def between():
        reached.set()
        hold.wait(200)

    engine = Engine(FakeCascade(between=between))
    engine.start()
    tickets = [engine.submit(make_request(seed=seed), f"client {seed}") for seed in range(5)]
    reached.wait(200)
    threading.Timer(0.05, hold.set).start()
    engine.close()
    assert [ends(ticket)[1] for ticket in tickets] == [CLOSING_MESSAGE] * 5
    with pytest.raises(UserError, match="closing"):
        engine.submit(make_request(), "ann")
    with pytest.raises(UserError, match="closing"):
        engine.attach(tickets[0].id, "client 0")
    engine.close()
    assert not engine.alive


def test_an_engine_that_was_never_started_closes_too():
    engine = Engine(FakeCascade())
    ticket = engine.submit(make_request(), "ann")
    engine.close()
    assert ends(ticket)[1] == CLOSING_MESSAGE


def test_health_reports_the_state_of_the_engine():
    hold = threading.Event()
    clock = Clock()
    engine = Engine(FakeCascade(between=lambda: hold.wait(200)), clock=clock)
    assert engine.health() == {"alive": False, "reason": NOT_STARTED_MESSAGE, "last_step": None, "rows": 0}
    with engine:
        assert engine.health() == {"alive": True, "reason": "", "last_step": None, "rows": 0}
        ticket = engine.submit(make_request(), "ann")
        assert engine.health()["rows"] == 1
        hold.set()
        assert ends(ticket)[1] == "Done"
        clock.advance(5)
        assert engine.health() == {"alive": True, "reason": "", "last_step": 5, "rows": 0}
    assert engine.health() == {"alive": False, "reason": CLOSING_MESSAGE, "last_step": 5, "rows": 0}


def test_an_engine_is_started_once():
    with Engine(FakeCascade()) as engine, pytest.raises(RuntimeError):
        engine.start()


def test_when_the_thread_dies_every_request_ends_with_a_reason(caplog):
    engine = Engine(FakeCascade(failures={3: SystemExit("the device is gone")}))
    tickets = [engine.submit(make_request(seed=seed, prior_steps=9), f"client {seed}") for seed in range(5)]
    with engine:
        assert [ends(ticket)[1] for ticket in tickets] == [DIED_MESSAGE] * 5
        with pytest.raises(UserError, match="stopped after an error"):
            engine.submit(make_request(), "ann")
        assert not engine.alive
    assert "the device is gone" in caplog.text


def fatal(at):
    return FakeCascade(failures={at: DeviceLost("an illegal memory access")})


def test_after_a_lost_device_the_engine_restarts_if_it_responds(caplog):
    cascade = fatal(3)
    engine = Engine(cascade)
    tickets = [engine.submit(make_request(seed=seed, prior_steps=9), f"client {seed}") for seed in range(5)]
    with engine:
        assert [ends(ticket)[1] for ticket in tickets] == [FAILED_MESSAGE] * 5
        assert results(run_until_accepted(engine, make_request(seed=8)))[0].request.seed == 8
        assert engine.alive
    assert cascade.checked == 1
    assert "illegal memory access" in caplog.text
    assert "has restarted" in caplog.text
    assert "a red cat" not in caplog.text


def run_until_accepted(engine, request):
    """Events of a request, submitted again while the engine restarts."""
    while True:
        try:
            return list(engine.run(request, "client"))
        except UserError as error:
            if str(error) != FAILED_MESSAGE:
                raise


def test_if_the_device_does_not_respond_requests_are_rejected():
    cascade = fatal(0)
    cascade.unresponsive = True
    with Engine(cascade) as engine:
        assert ends(engine.submit(make_request(), "ann"))[1] == FAILED_MESSAGE
        eventually(lambda: engine.health()["reason"] == DIED_MESSAGE)
        assert not engine.alive
        with pytest.raises(UserError, match="stopped after an error"):
            engine.submit(make_request(), "ann")


def test_during_the_health_check_requests_are_rejected_with_the_reason():
    asked, answer = threading.Event(), threading.Event()

    class Slow(FakeCascade):
        def health_check(self):
            asked.set()
            answer.wait(200)

    with Engine(Slow(failures={0: DeviceLost("gone for a while")})) as engine:
        ticket = engine.submit(make_request(), "ann")
        assert ends(ticket)[1] == FAILED_MESSAGE
        asked.wait(200)
        assert engine.health()["reason"] == FAILED_MESSAGE
        with pytest.raises(UserError, match="try again in a moment"):
            engine.submit(make_request(), "ann")
        answer.set()
        assert results(run_until_accepted(engine, make_request()))


def test_an_engine_restarts_only_once():
    cascade = FakeCascade(fault=lambda states: DeviceLost("again and again"))
    with Engine(cascade) as engine:
        assert ends(engine.submit(make_request(), "ann"))[1] == FAILED_MESSAGE
        with pytest.raises(UserError, match="stopped after an error"):
            run_until_accepted(engine, make_request())
        eventually(lambda: not engine.alive)
    assert cascade.checked == 1


def test_closing_during_the_health_check_ends_the_thread():
    asked = threading.Event()

    class Slow(FakeCascade):
        def health_check(self):
            asked.set()
            time.sleep(0.1)

    engine = Engine(Slow(failures={0: DeviceLost("gone for a while")}))
    engine.start()
    ticket = engine.submit(make_request(), "ann")
    asked.wait(200)
    engine.close()
    assert ends(ticket)[1] == FAILED_MESSAGE
    assert engine.health()["reason"] == CLOSING_MESSAGE
    with pytest.raises(UserError, match="closing"):
        engine.submit(make_request(), "ann")


class Failing(FakeCascade):
    """Fails as the prompt says, and for batches that are too large."""

    def begin(self, request):
        if "unreadable" in request.prompt:
            raise PromptError("Close the bracket.")
        return super().begin(request)


def fault(states):
    if len(states) > 5:
        return MemoryError()
    if any("huge" in state.request.prompt for state in states):
        return MemoryError()
    if any("guilty" in state.request.prompt and state.stage == "decoder" for state in states):
        return RuntimeError("a fault of one image")
    return None


KINDS = ["fine"] * 12 + ["unreadable", "huge", "guilty", "undecodable", "stop", "leave", "lose", "slow", "back"]
MESSAGES = {
    "unreadable": "Close the bracket",
    "huge": "not have enough memory",
    "guilty": "failed because of an error",
    "undecodable": "picture has failed",
    "stop": "was stopped",
}


@pytest.mark.slow
def test_of_2000_mixed_requests_each_ends_once_with_its_own_images_or_reason(caplog):
    """2,000 requests of 64 clients: out of memory, faults, unreadable prompts, failed images, cancels, slow readers,
    readers that leave and come back; some are rejected and try again."""
    caplog.set_level("CRITICAL")
    threads = threading.active_count()
    rng = random.Random(5)
    plans = [(k, rng.choice(KINDS), rng.choice([1, 1, 1, 2, 4]), 128 * rng.randint(1, 2)) for k in range(2000)]
    undecodable = {1000 * k for k, kind, *_ in plans if kind == "undecodable"}
    outcomes, guard, metrics = Counter(), threading.Lock(), Metrics()

    def run_clients(part):
        """Eight clients in one thread, 250 requests: all submit, then each reads."""
        for start in range(0, 250, 8):
            submitted = []
            for k, kind, images, width in plans[part * 250 : part * 250 + 250][start : start + 8]:
                request = make_request(prompt=f"{kind} {k}", seed=1000 * k, images=images, width=width, height=128)
                session = f"client {part} {k % 8}"
                ticket, attempts = submit_until_accepted(engine, request, session)
                submitted.append((request, kind, session, ticket))
                with guard:
                    outcomes["attempts"] += attempts
            for each in submitted:
                outcome = read_as(engine, *each)
                with guard:
                    outcomes[outcome] += 1
            del submitted, each

    with Engine(
        Failing(fault=fault, failing_pictures=undecodable),
        max_images=100,
        max_session_images=8,
        grace_s=60,
        observer=metrics,
    ) as engine:
        clients = [threading.Thread(target=run_clients, args=(part,)) for part in range(8)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        assert engine.alive
    assert not [outcome for outcome in outcomes if outcome.startswith("wrong")]
    attempts = outcomes.pop("attempts")
    assert outcomes.total() == 2000
    assert outcomes["drawn"] > 1000
    check_metrics(metrics, outcomes, attempts)
    assert threading.active_count() == threads
    assert engine.request_count == 0
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, RequestState | FakeImageState)]


def submit_until_accepted(engine, request, session):
    """Ticket, and the number of attempts for it."""
    attempt = 1
    while True:
        try:
            return engine.submit(request, session), attempt
        except QueueFull:
            attempt += 1
            time.sleep(0.02)


def check_metrics(metrics, outcomes, attempts):
    """Check the metrics: each attempt has one end, and the ends are those that the clients saw."""
    ends = Counter(ended(metrics))
    assert read(metrics)["requests_submitted_total"] == attempts == ends.total()
    assert ends.pop("refused", 0) == attempts - outcomes.total()
    unseen = outcomes["left"] + outcomes["lost"]
    failed = sum(outcomes[kind] for kind in ("unreadable", "huge", "guilty", "undecodable"))
    assert 0 <= ends["done"] - outcomes["drawn"] <= unseen
    assert 0 <= ends["failed"] - failed <= unseen
    assert 0 <= ends["cancelled"] - outcomes["stop"] <= unseen


def read_as(engine, request, kind, session, ticket):
    """Read a ticket in the way of its kind; returns the outcome, "wrong ..." if it is unexpected."""
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
        if result.image.tobytes() != painted(request.image(result.index)).tobytes():
            return "wrong picture"
    if kind not in MESSAGES or (kind == "stop" and end == "Done"):
        numbers = [result.index for result in found]
        whole = sorted(numbers) == list(range(request.images)) and end == "Done"
        return "drawn" if whole else f"wrong: {numbers} of {request.images}, {end}"
    return kind if MESSAGES[kind] in end else f"wrong reason: {end}"
