import re
from dataclasses import replace

from tests.ui.fakes import LIMITS, studio
from wuerst_demo.ui import show
from wuerst_demo.ui.drawing import View, draw

EVIL = "<script>alert(1)</script>"


def drawn(**values):
    return list(draw(studio(), values, "", iter(range(10_000)).__next__))[-1]


def test_a_request_as_run_shows_every_setting():
    view = drawn(prompt="a cat", negative_prompt="a dog", seed=12345, prior_guidance=2.5)
    shown = show.recipe(view, LIMITS)
    for name, description in LIMITS.descriptions.items():
        assert f"<dt>{description.label}</dt>" in shown, name
    for value in ("12345", "2.5", "two-part", "on"):
        assert f"<dd>{value}</dd>" in shown
    for words in ("a cat", "a dog"):
        assert f'<dd><span translate="no">{words}</span></dd>' in shown


def test_nothing_is_shown_of_a_request_that_was_refused():
    assert show.recipe(drawn(width=1), LIMITS) == ""


def test_markup_from_visitors_and_checkpoints_is_text():
    view = drawn(prompt=EVIL)
    assert EVIL not in show.recipe(view, LIMITS)
    assert EVIL not in show.header(replace(studio(), checkpoint=EVIL, device=EVIL))
    assert EVIL not in show.status(View("refused", EVIL))


def test_a_message_is_heard_once_and_at_once_when_something_went_wrong():
    assert 'aria-live="assertive"' in show.status(View("refused", "No."))
    assert 'aria-live="polite"' in show.status(View("drawing", "Prior 1 of 2"))


def test_screen_readers_hear_the_stages_and_not_every_step():
    def heard(message):
        return re.search(r'role="status"[^>]*>([^<]*)<', show.status(View("drawing", message, 0.5)))[1]

    assert heard("Prior 3 of 29") == heard("Prior 4 of 29") == "Prior"
    assert heard("Decoder 3 of 12, picture 1 of 2, about 3 s left") == "Decoder, picture 1 of 2"
    assert heard("3 of 9 pictures, Prior 3 of 29, about 7 s left") == "3 of 9 pictures, Prior"
    assert heard("3rd in line, about 20 s") == "3rd in line"


def test_the_bar_says_how_far_it_is():
    shown = show.status(View("drawing", "Prior 1 of 2", 0.416))
    assert 'aria-valuenow="42"' in shown
    assert "width:42%" in shown


def test_the_foot_says_how_the_server_runs_and_nothing_where_that_is_not_known():
    told = show.footer(replace(studio(), running={"Device": "cpu", "Checkpoint": EVIL}))
    assert "<dt>Device</dt><dd>cpu</dd>" in told
    assert EVIL not in told
    assert show.footer(studio()) == ""
