"""Standard output and standard error, as programs meet them: too few characters, and readers that have gone.

Does not know what is written.
"""

from __future__ import annotations

import os
import sys

GONE = 141
"""The exit status where nobody reads on, as in `| head -1`."""


def forgive() -> None:
    """Shows a character that a stream's encoding lacks as best it can be: a name is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def discard() -> None:
    """Lets what standard output still holds go nowhere: Python would complain of it again when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
