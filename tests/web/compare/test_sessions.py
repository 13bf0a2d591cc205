"""Who finds which comparison again, and what becomes of the others."""

from __future__ import annotations

import pytest

from tests.fakes.web import FakePipeline, fake_context
from wuerst_demo.web.compare.runner import ComparisonRequest
from wuerst_demo.web.compare.sessions import ComparisonSessions
from wuerst_demo.web.shared.sessions import SESSION_TTL_S, ClientTab

ME = ClientTab("me" * 10, "left")
ASKED = ComparisonRequest({"prompt": "a cat", "seed": 7}, ("prior_steps", "4, 5, 6"), ("", ""))


def left(comparisons, seat=ME, asked=ASKED):
    """A comparison of which one cell is finished, and its page gone; its last board."""
    boards = comparisons.compare(seat, asked)
    seen = next(seen for seen in boards if seen.files)
    boards.close()
    return seen


def test_only_the_same_browser_tab_resumes_it_with_its_request():
    comparisons = ComparisonSessions(fake_context())
    seen = left(comparisons)
    found = comparisons.find(ME)
    assert found.request == ASKED
    *_, last = found.follow()
    assert last.state == "done"
    assert last.files.items() >= seen.files.items()
    assert comparisons.find(ClientTab(ME.owner, "right")) is None
    assert comparisons.find(ClientTab("you" * 10, ME.tab)) is None


def test_the_submitting_page_does_not_resume_its_own_comparison():
    comparisons = ComparisonSessions(fake_context())
    list(comparisons.compare(ME, ASKED, "this one"))
    assert comparisons.find(ME, "this one") is None
    assert comparisons.find(ME, "the next").request == ASKED


def test_a_new_comparison_replaces_the_old_one_and_deletes_its_files():
    pipeline = FakePipeline()
    comparisons = ComparisonSessions(fake_context(pipeline))
    seen = left(comparisons)
    *_, last = comparisons.compare(ME, ComparisonRequest({"prompt": "a dog", "seed": 7}, ("seed", "1"), ("", "")))
    assert comparisons.find(ME).view == last
    assert not any(path.exists() for path in seen.files.values())
    assert pipeline.running == 0


@pytest.mark.parametrize(
    "asked", [ComparisonRequest(ASKED.values, ("seed", "x"), ("", "")), ComparisonRequest({}, ("", ""), ("", ""))]
)
def test_a_rejected_comparison_leaves_the_last_one_in_place(asked):
    comparisons = ComparisonSessions(fake_context())
    seen = left(comparisons)
    (refused,) = comparisons.compare(ME, asked)
    assert refused.state == "rejected"
    assert refused.message.endswith(".")
    assert refused.grid is None
    assert comparisons.find(ME).view.results == seen.results


def test_an_internal_error_is_shown_without_details(caplog):
    class Broken(dict):
        def items(self):
            raise RuntimeError("a fault with /secret/path in it")

        keys = __iter__ = items

    (failed,) = ComparisonSessions(fake_context()).compare(ME, ComparisonRequest(Broken(), ("seed", "1"), ("", "")))
    assert failed.state == "failed"
    assert "secret" not in failed.message
    assert "secret" in caplog.text


def test_an_expired_comparison_and_its_files_are_gone():
    now = [0.0]
    comparisons = ComparisonSessions(fake_context(), clock=lambda: now[0])
    seen = left(comparisons)
    now[0] = SESSION_TTL_S
    assert comparisons.find(ME) is not None
    now[0] = SESSION_TTL_S + 1
    assert comparisons.find(ME) is None
    assert not any(path.exists() for path in seen.files.values())


def test_stop_affects_only_the_clients_own_comparison():
    comparisons = ComparisonSessions(fake_context())
    boards = comparisons.compare(ME, ASKED)
    next(boards)
    comparisons.stop(ClientTab("you" * 10, ME.tab))
    next(seen for seen in boards if seen.files)
    comparisons.stop(ME)
    *_, last = boards
    assert last.state == "stopped"
    assert len(last.files) == 1
