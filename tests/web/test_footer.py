"""The foot of the page."""

import json
import re
from dataclasses import replace
from functools import partial
from html import unescape

from tests.fakes.fleet import LocalFleet
from tests.fakes.web import fake_context
from wuerst_demo.fleet.status import status_text
from wuerst_demo.web.footer import format_report, render_footer, server_facts
from wuerst_demo.web.i18n.translate import to_german

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


def test_the_foot_counts_the_replicas_of_a_fleet_at_the_moment():
    local = LocalFleet(3)
    context = replace(fake_context(), fleet_status=partial(status_text, local.fleet), runtime={"Device": "cpu"})
    assert render_footer(server_facts(context)).count("<dt>Replicas</dt><dd>3 replicas on 3 machines</dd>") == 1
    local.launcher.processes[0].die()
    facts = server_facts(context)
    assert "<dt>Replicas</dt><dd>2 replicas on 2 machines, 1 restarting</dd>" in render_footer(facts)
    assert format_report(facts) == "Replicas: 2 replicas on 2 machines, 1 restarting\nDevice: cpu\n"
    assert to_german(facts["Replicas"]) == "2 Repliken auf 2 Rechnern, 1 im Neustart"
    assert "Replicas" not in server_facts(fake_context())
