"""Shared HTML."""

import re
from dataclasses import replace

from tests.fakes.web import LIMITS, fake_context
from wuerst_demo.checkpoints.capabilities import CheckpointInfo
from wuerst_demo.events import Progress, Queued
from wuerst_demo.messages import message
from wuerst_demo.web.shared import html
from wuerst_demo.web.shared.generation import GenerationView, generate_views
from wuerst_demo.web.shared.progress import ProgressTracker, queue_text

EVIL = "<script>alert(1)</script>"


def drawn(**values):
    return list(generate_views(fake_context(), values, "", iter(range(10_000)).__next__))[-1]


def test_request_details_show_every_setting():
    view = drawn(prompt="a cat", negative_prompt="a dog", seed=12345, prior_guidance=2.5)
    shown = html.request_details(view, LIMITS)
    for name, description in LIMITS.descriptions.items():
        assert f"<dt>{description.label}</dt>" in shown, name
    for value in ("12345", "2.5", "two-part", "on"):
        assert f"<dd>{value}</dd>" in shown
    for words in ("a cat", "a dog"):
        assert f'<dd><span translate="no">{words}</span></dd>' in shown


def test_a_rejected_request_has_no_details():
    assert html.request_details(drawn(width=1), LIMITS) == ""


def test_markup_from_users_and_checkpoints_is_escaped():
    view = drawn(prompt=EVIL)
    assert EVIL not in html.request_details(view, LIMITS)
    assert EVIL not in html.page_header(replace(fake_context(), checkpoint=CheckpointInfo(EVIL, LIMITS), device=EVIL))
    assert EVIL not in html.generation_status(GenerationView("rejected", EVIL))


def test_errors_are_announced_assertively():
    assert 'aria-live="assertive"' in html.generation_status(GenerationView("rejected", "No."))
    assert 'aria-live="polite"' in html.generation_status(GenerationView("running", "Prior 1 of 2"))


def test_screen_readers_announce_stages_not_steps():
    def heard(text):
        return re.search(r'role="status"[^>]*>([^<]*)<', html.generation_status(GenerationView("running", text, 0.5)))[
            1
        ]

    def sentence(stage, step, of, images=1, rest=None):
        tracker = ProgressTracker.start(LIMITS.request({"images": images}))
        return tracker.update(Progress(0, stage, step, of, remaining_s=rest)).text

    assert heard(sentence("prior", 3, 29)) == heard(sentence("prior", 4, 29)) == "Prior"
    assert heard(sentence("decoder", 3, 12, images=2, rest=3.0)) == "Decoder, picture 1 of 2"
    compared = message(
        "{done} of {whole} pictures, {progress}", done=3, whole=9, progress=sentence("prior", 3, 29, rest=7)
    )
    assert heard(compared) == "3 of 9 pictures, Prior"
    assert heard(queue_text(Queued(3, 20))) == "Position 3 in the queue"


def test_the_progress_bar_shows_the_fraction():
    shown = html.generation_status(GenerationView("running", "Prior 1 of 2", 0.416))
    assert 'aria-valuenow="42"' in shown
    assert "width:42%" in shown


def test_the_time_estimate_counts_other_images_in_progress():
    assert html.time_estimate(3.4, 0) == "<span>Takes about 3 s.</span>"
    assert html.time_estimate(3.4, 1) == "<span>Takes about 3 s, beside 1 other picture.</span>"
