"""The program in its own process, with real networks: small and random ones of 2023."""

import contextlib
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.request import Limits

ROOT = Path(__file__).parent.parent
FIXTURE = ROOT / "tests" / "fixtures" / "checkpoint-2023"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="uses signals and terminals as Unix has them"),
]


@pytest.fixture
def generate(tmp_path):
    """A command line that writes into an empty folder, and the arguments to run it as a process there."""

    def command(*argv):
        words = [sys.executable, "-m", "wuerst_demo", "generate", *argv, "--model", str(FIXTURE / "wuerstchen")]
        here = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return words, {"cwd": tmp_path, "env": here}

    return command


def options(case):
    given = {
        "--negative-prompt": case["negative_prompt"],
        "--seed": case["seed"],
        "--width": case["width"],
        "--height": case["height"],
        "--prior-guidance": case["prior_guidance_scale"],
        "--decoder-guidance": case["decoder_guidance_scale"],
        "--prior-steps": case["prior_steps"] or 29,
        "--prior-schedule": "linear" if case["prior_steps"] else "two-part",
        "--decoder-steps": case["decoder_steps"],
    }
    return [str(word) for pair in given.items() if pair[1] is not None for word in pair]


@pytest.mark.parametrize("number", [0, 2, 3])
def test_command_line_equals_the_libraries_of_2023(generate, cases_2023, tmp_path, number):
    case = cases_2023[number]
    words, where = generate(case["prompt"], *options(case), "--device", "cpu")
    done = subprocess.run(words, capture_output=True, text=True, check=True, **where)
    (path,) = (tmp_path / line for line in done.stdout.splitlines())
    generated = np.asarray(Image.open(path)).astype(np.float32) / 255
    stored = np.load(FIXTURE / f"case{number}.npz")["image"][0].astype(np.float32).transpose(1, 2, 0)
    # Half a level of rounding to 8 bits, and what float32 may differ by.
    assert np.abs(generated - stored).max() <= 0.5 / 255 + 1e-3
    request = Limits().request(read_image_settings(path).values)
    assert (request.prompt, request.seed) == (case["prompt"], case["seed"])


def test_libraries_print_nothing(generate):
    words, where = generate("a cat", "--width", "128", "--height", "128", "--prior-steps", "1", "--decoder-steps", "1")
    done = subprocess.run(words, capture_output=True, text=True, check=True, **where)
    ours = r"Runs on .*|1 picture in .*|(prior|decoder|vqgan), step \d+ of \d+ .*"
    assert [line for line in done.stderr.splitlines() if not re.fullmatch(ours, line)] == []


def test_keyboard_interrupt_leaves_no_partial_file(generate, tmp_path):
    words, where = generate("a cat", "--images", "8", "--prior-steps", "100", "--decoder-steps", "100")
    ours, theirs = pty.openpty()

    def interruptible():
        # tests that run in the background ignore it, and so would their children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, preexec_fn=interruptible, **where) as running:
        os.close(theirs)
        seen = b""
        # On a terminal: the line is rewritten step by step.
        while b"prior, step " not in seen:
            seen += os.read(ours, 1000)
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # reading a terminal without a process fails
            while more := os.read(ours, 1000):
                seen += more
        assert running.wait() == 130
    os.close(ours)
    assert b"Traceback" not in seen
    assert seen.rstrip().endswith(b"Stopped.")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_file_size_limit_leaves_no_partial_file(generate, tmp_path):
    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    words, where = generate("a cat", "--width", "256", "--height", "256", "--prior-steps", "1", "--decoder-steps", "1")
    where["env"]["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, preexec_fn=small_files_only, **where
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("(File too large); choose another folder.\n")
    assert "Traceback" not in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_train_passes_its_arguments_on():
    words = [sys.executable, "-m", "wuerst_demo", "train", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "python -m wuerst_demo train" in done.stdout


def app(*argv, **more):
    here = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=here
    )


def test_page_help_into_a_closed_pipe_prints_nothing():
    shown = app("--help")
    shown.stdout.close()
    assert (shown.wait(), shown.stderr.read()) == (141, b"")
    shown.stderr.close()


def test_unencodable_name_is_escaped():
    process = app("--model", "/nowhere/李", PYTHONIOENCODING="latin-1")
    message = process.communicate()[1]
    assert process.returncode == 2
    assert b"\\u674e" in message
    assert b"Traceback" not in message
