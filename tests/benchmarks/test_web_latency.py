"""The waiting times of the real web UI, through its API."""

from __future__ import annotations

import pytest

from tests.e2e.browser import CHROMIUM
from wuerst_demo.benchmarks import browser_latency, web_latency


@pytest.mark.slow
def test_page_and_images_are_timed(monkeypatch):
    monkeypatch.setattr(web_latency, "REPEATS", 1)
    facts = web_latency.measure(["--device", "cpu"], browser=False)
    for name in ("page_s", "first_picture_s", "later_picture_s", "gradio_client_later_picture_s", "resident_gib"):
        assert facts[name] > 0


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_is_timed_from_the_click_and_from_the_key_press(monkeypatch):
    monkeypatch.setattr(web_latency, "REPEATS", 2)
    for name, value in {"PROMPT_LENGTHS": (30,), "TYPISTS": (2,), "TYPING_MS": 1500}.items():
        monkeypatch.setattr(browser_latency, name, value)
    facts = web_latency.measure(["--device", "cpu"], browser=True)
    for name in ("click to picture", "key press to live picture"):
        assert 0 < facts[f"{name}, beyond the engine, median s"] <= facts[f"{name}, median s"]
    for name in ("first visit, s", "report of 30 characters, median s", "live pictures a second, 2 typing at once"):
        assert facts[name] > 0
