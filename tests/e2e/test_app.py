"""`python app.py` with real networks, in a process of its own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.browser import ROOT, start_app
from wuerst_demo.images.metadata import read_image_settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "outputs"


@pytest.fixture(scope="module")
def address(checkpoint_2023, outputs):
    model = str(checkpoint_2023 / "wuerstchen")
    with start_app("--model", model, "--device", "cpu", "--output", str(outputs)) as address:
        yield address


def refused(*options, **env):
    """What app.py says, all of it, when it ends with 2."""
    ended = subprocess.run(
        [sys.executable, "app.py", *options], cwd=ROOT, env=env or None, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_a_generated_image_carries_its_request_and_is_saved(address, outputs, visit):
    # so many steps that a fast machine does not draw it between two looks at its progress
    page = visit(f"{address}?prior_steps=100&decoder_steps=20")
    page.locator("#prompt textarea").fill("a (red)1.4 circle")
    page.locator("#spans .highlighted").first.wait_for()
    page.locator("#generate").click()
    page.get_by_text(re.compile(r"^(Prior|Decoder) \d+ of \d+")).first.wait_for()
    page.locator("#status .done").wait_for()
    with page.expect_download() as download:
        page.locator("#files a").click()
    found = read_image_settings(Path(download.value.path()))
    assert found.values["prompt"] == "a (red)1.4 circle"
    assert str(found.values["seed"]) == page.locator("#seed input").input_value()
    (kept,) = outputs.glob("????-??-??/*.png")
    assert kept.read_bytes() == Path(download.value.path()).read_bytes()
    page.get_by_role("tab", name="History").click()
    page.locator("#history-said", has_text="1 to 1 of 1 picture").wait_for()


def test_a_port_in_use_is_one_line_with_a_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("--port", port)
    assert f"Port {port} is in use" in said
    assert "--port" in said


def test_share_without_auth_or_no_auth_is_rejected():
    said = refused("--share")
    assert "--auth" in said
    assert "--no-auth" in said


@pytest.mark.parametrize(
    "options",
    [["--port", "0"], ["--model", "/no/such/folder"], ["--nonsense"], ["--host", "no such host"], ["word"]],
    ids=" ".join,
)
def test_a_wrong_option_is_one_line(options):
    assert refused(*options)
