"""The foot of the page."""

import json
import re
from html import unescape

from wuerst_demo.web.footer import format_report, render_footer

EVIL = "<img src=x onerror=alert(1)>\"'"


def test_the_foot_shows_how_the_server_runs_if_known():
    told = render_footer({"Device": "cpu", "Checkpoint": EVIL})
    assert "<dt>Device</dt><dd>cpu</dd>" in told
    assert EVIL not in told
    assert "Device" not in render_footer({})
    assert "report" not in render_footer({})


def test_the_foot_has_the_accessibility_statement():
    told = render_footer({})
    assert "<summary>Accessibility</summary>" in told
    assert all(each in told for each in ("WCAG 2.2", "What does not work", "Report a problem"))


def test_the_report_is_what_is_shown_in_english():
    runtime = {"Device": "cpu", "Data type": "float32", "Checkpoint": EVIL}
    assert format_report(runtime) == f"Device: cpu\nData type: float32\nCheckpoint: {EVIL}\n"
    (data,) = re.findall(r'data-report="([^"]*)"', render_footer(runtime))
    assert json.loads(unescape(data))[0] == format_report(runtime)
