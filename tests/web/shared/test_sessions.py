"""Session store: one job per browser tab."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from wuerst_demo.web.shared.sessions import MAX_SESSIONS, SESSION_TTL_S, ClientTab, SessionStore

ME = ClientTab("me" * 10, "left")


@dataclass(eq=False)
class Thing:
    seen_at: float = 0.0
    over: bool = True
    closed: bool = False
    page: str = ""
    stopped: bool = False

    def stop(self):
        self.stopped = True

    def close(self):
        self.closed = True


@pytest.mark.parametrize("said", [None, "", "short", 7, ["me"], "x" * 1000, "\n" * 30])
def test_an_invalid_owner_becomes_a_new_client(said):
    one, other = ClientTab.from_browser(said, "tab"), ClientTab.from_browser(said, "tab")
    assert one.owner != other.owner
    assert one.tab == "tab"


def test_a_valid_owner_is_kept_and_an_invalid_tab_name_is_dropped():
    known = ClientTab.from_browser(None, None).owner
    assert ClientTab.from_browser(known, {"a": 1}) == ClientTab(known, "")


def test_a_tab_finds_its_own_job_which_a_new_one_closes():
    seats, one, other = SessionStore(lambda: 0.0), Thing(), Thing()
    seats.add(ME, one)
    assert seats.find(ME) is one
    assert seats.find(ClientTab(ME.owner, "right")) is None
    seats.add(ME, other)
    assert seats.find(ME) is other
    assert one.closed
    assert not other.closed


@pytest.mark.parametrize(("begun_on", "asking", "left"), [("a", "a", False), ("a", "b", True), ("", "", True)])
def test_a_page_reattaches_to_the_job_of_another_page(begun_on, asking, left):
    seats, thing = SessionStore(lambda: 0.0), Thing(page=begun_on)
    seats.add(ME, thing)
    assert seats.find(ME, asking) is (thing if left else None)
    assert seats.find(ClientTab(ME.owner, "right"), asking) is None


def test_a_job_expires_after_its_last_view():
    now = [0.0]
    seats, thing = SessionStore(lambda: now[0]), Thing(over=False)
    seats.add(ME, thing)
    now[0] = thing.seen_at = SESSION_TTL_S
    now[0] += SESSION_TTL_S
    assert seats.find(ME) is thing
    now[0] += 1
    assert seats.find(ME) is None
    assert thing.closed


def test_beyond_the_limit_the_oldest_finished_jobs_are_closed():
    seats, things = SessionStore(lambda: 0.0), [Thing(over=k > 0) for k in range(MAX_SESSIONS + 3)]
    for k, thing in enumerate(things):
        seats.add(ClientTab(f"{k:020}"), thing)
    assert [k for k, thing in enumerate(things) if thing.closed] == [1, 2, 3]


def test_beyond_the_limit_unwatched_jobs_are_closed_too():
    now = [0.0]
    seats, things = SessionStore(lambda: now[0]), [Thing(over=False) for _ in range(MAX_SESSIONS + 1)]
    for k, thing in enumerate(things):
        thing.seen_at = now[0] = float(k)
        seats.add(ClientTab(f"{k:020}"), thing)
    assert [k for k, thing in enumerate(things) if thing.closed] == [0]


def test_only_the_job_of_the_tab_is_stopped():
    seats, thing, other = SessionStore(lambda: 0.0), Thing(), Thing()
    seats.add(ME, thing)
    seats.add(ClientTab(ME.owner, "right"), other)
    seats.stop(ClientTab("you" * 10))
    assert not thing.stopped
    seats.stop(ME)
    assert (thing.stopped, other.stopped) == (True, False)
