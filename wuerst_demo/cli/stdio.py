"""Standard output and standard error: none at all, encodings without Unicode, full disks and closed pipes."""

from __future__ import annotations

import os
import sys

from wuerst_demo.errors import SettingsError, StorageError

BROKEN_PIPE_EXIT_CODE = 141
"""Exit status where the reader of standard output has gone, as in `| head -1`."""


def open_missing_streams() -> None:
    """Discard what is written where there is no console: a service, pythonw, or streams that the shell has closed.

    The file descriptors 0 to 2 are occupied too: else the next opened file, such as a picture, would get one of them,
    and with it what a library prints.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115 - stays open


def escape_unencodable() -> None:
    """Write characters that the encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def check_decoded(prompt: str) -> None:
    """Raise SettingsError for a prompt with bytes that the locale's encoding lacks, which Python makes surrogates."""
    if any("\udc80" <= character <= "\udcff" for character in prompt):
        encoding = sys.getfilesystemencoding()
        raise SettingsError(f"The prompt is not text in this locale's encoding, {encoding}: set LC_ALL=C.UTF-8.")


def discard_stdout() -> None:
    """Drop buffered output: Python would report it again when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_stdout(text: str) -> None:
    """Write to standard output at once. Raises StorageError, but lets BrokenPipeError pass."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()
        raise StorageError(f"Standard output cannot be written ({error.strerror}); send it elsewhere.") from error
