"""`wuerst page` before it opens: help, mistakes, and what it is given. tests/e2e opens it."""

import subprocess
import sys
from contextlib import nullcontext

import pytest

from tests.fakes.server import free_port
from tests.fakes.web import fake_context, parse_prompt
from wuerst_demo.cli import page as page_command
from wuerst_demo.options import flag_name
from wuerst_demo.settings import OPTIONS
from wuerst_demo.web import server


def page(*argv):
    """Exit code, standard output and standard error."""
    program = f"import sys; from wuerst_demo.cli.main import main; sys.exit(main(['page', *{list(argv)!r}], {{}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_help_lists_every_option():
    code, out, err = page("--help")
    assert (code, err) == (0, "")
    assert all(flag_name(name) in out for name in OPTIONS)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--port", "none"], "--port must be a whole number from 1 to 65535."),
        (["--share"], "--share requires --auth USER:PASSWORD, or --no-auth to admit anyone with the link."),
        (["a cat"], "Unexpected argument; options start with --, see --help."),
        (["--width", "256"], "There is no option --width; did you mean --auth?"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(argv, says):
    assert page(*argv) == (2, "", says + "\n")


@pytest.mark.parametrize("kept", [True, False])
def test_finished_pictures_are_kept_and_announced_unless_there_is_no_history(
    checkpoint_2023, tmp_path, monkeypatch, capsys, kept
):
    served = []
    generating = page_command._Generating(fake_context().engine, parse_prompt, "cpu", {})
    monkeypatch.setattr(server, "serve", lambda context, *_: served.append(context))
    monkeypatch.setattr(page_command, "_start_engine", lambda *_: generating)
    monkeypatch.setattr(page_command, "_without_collections", nullcontext)
    options = ["--model", str(checkpoint_2023 / "wuerstchen"), "--port", str(free_port()), "--output", str(tmp_path)]
    page_command._serve_page([*options, *([] if kept else ["--no-history"])], {})
    (context,) = served
    assert (context.history.root if context.history else None) == (tmp_path if kept else None)
    assert (f"Finished pictures are kept in {tmp_path};" in capsys.readouterr().out) == kept
