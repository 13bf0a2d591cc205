"""Standard streams that are missing, have a poor encoding, a full disk or no reader."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wuerst_demo.cli import stdio
from wuerst_demo.errors import SettingsError, StorageError

ROOT = Path(__file__).parents[2]
WRITE = (
    "import sys; from wuerst_demo.cli.main import main; code = main(sys.argv[1:]);"
    "opened = open('picture', 'w'); opened.write(str(opened.fileno())); sys.exit(code)"
)


class FailingStream(io.StringIO):
    """A stream that fails with an OSError when it is flushed."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def flush(self):
        raise self.error


def test_characters_that_the_encoding_lacks_are_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # cannot be reconfigured
    stdio.escape_unencodable()
    stdio.write_stdout("Würstchen\n")
    assert written.getvalue() == b"W\\xfcrstchen\n"


def test_full_disk_is_reported_and_output_discarded(monkeypatch):
    discarded = []
    monkeypatch.setattr(stdio, "discard_stdout", lambda: discarded.append(True))
    monkeypatch.setattr(sys, "stdout", FailingStream(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\); send it elsewhere\."):
        stdio.write_stdout("text")
    assert discarded == [True]


def test_closed_pipe_is_left_to_the_caller(monkeypatch):
    monkeypatch.setattr(sys, "stdout", FailingStream(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        stdio.write_stdout("text")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="closes streams as Unix shells do")
@pytest.mark.parametrize(("closed", "code"), [((), 0), ((1,), 0), ((1, 2), 0), ((0, 1, 2), 0)])
def test_without_a_console_a_command_works_silently(tmp_path, closed, code):
    shell = f'exec {sys.executable} -c "$1" --version {" ".join(f"{each}>&-" for each in closed)}'
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", shell, "sh", WRITE], cwd=tmp_path, env=here, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
    # A file that is opened later does not get the descriptor of a closed stream.
    assert int((tmp_path / "picture").read_text()) > 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="closes streams as Unix shells do")
def test_without_a_console_a_mistake_still_ends_with_exit_code_2(tmp_path):
    shell = f"exec {sys.executable} -m wuerst_demo paint >&- 2>&-"
    done = subprocess.run(["sh", "-c", shell], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 2


def test_a_prompt_that_the_locale_cannot_encode_is_rejected_for_that_reason():
    stdio.check_decoded("M\u00fchle \U0001f32d")
    with pytest.raises(SettingsError, match=r"not text in this locale's encoding, .*: set LC_ALL=C\.UTF-8"):
        stdio.check_decoded(b"M\xfchle".decode("utf-8", "surrogateescape"))


def test_every_byte_that_is_not_decoded_is_found_and_its_neighbours_are_text():
    for code in (0xDC80, 0xDCFF):
        with pytest.raises(SettingsError):
            stdio.check_decoded(f"a {chr(code)}")
    stdio.check_decoded(f"a {chr(0xDC7F)}{chr(0xDD00)}")  # no bytes: the parser rejects these for what they are
