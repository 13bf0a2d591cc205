"""`wuerst page` before it opens: help and mistakes. tests/e2e opens it."""

import subprocess
import sys

import pytest

from wuerst_demo.options import flag_name
from wuerst_demo.settings import OPTIONS


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
