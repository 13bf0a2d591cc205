"""Turns for several threads: in order, one at a time, and never lost."""

from __future__ import annotations

import threading
import time

import pytest

from wuerst_demo.engine.turns import Turns


def waiting(turns, many):
    """Returns when `many` threads stand in line; white box, since waiting cannot be seen from outside."""
    while len(turns._waiting) < many:
        time.sleep(0.001)


def test_threads_get_their_turns_in_the_order_of_asking():
    turns, order, threads = Turns(), [], []

    def take(name):
        with turns.turn():
            order.append(name)

    with turns.turn():
        for name in range(5):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            waiting(turns, name + 1)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_a_thread_that_asks_again_at_once_does_not_shut_out_one_that_waits():
    turns, order = Turns(), []

    def take():
        with turns.turn():
            order.append("other")

    with turns.turn():
        thread = threading.Thread(target=take)
        thread.start()
        waiting(turns, 1)
    with turns.turn():
        order.append("again")
    thread.join()
    assert order == ["other", "again"]


def test_an_exception_hands_the_turn_on():
    turns = Turns()
    with pytest.raises(ValueError, match="mine"), turns.turn():
        raise ValueError("mine")
    with turns.turn():
        pass
