"""The waiting times of the real web UI, through its API."""

from __future__ import annotations

import pytest

from wuerst_demo.benchmarks import web_latency


@pytest.mark.slow
def test_page_and_images_are_timed(monkeypatch):
    monkeypatch.setattr(web_latency, "REPEATS", 1)
    facts = web_latency.measure(["--device", "cpu"], browser=False)
    for name in ("page_s", "first_picture_s", "later_picture_s", "gradio_client_later_picture_s", "resident_gib"):
        assert facts[name] > 0
