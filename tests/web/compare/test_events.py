"""Which events of the page follow which."""

from __future__ import annotations

from tests.fakes.web import fake_context
from wuerst_demo.web.page import build_page


def test_the_time_is_estimated_again_when_a_job_is_over():
    events = build_page(fake_context()).fns
    preceding = [each.trigger_after for each in events.values() if each.name == "estimate"]
    names = {events[number].name for number in preceding if number is not None}
    assert names == {"generate_images", "follow_generation", "compare", "load_page"}
