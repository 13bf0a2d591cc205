"""Numbers as they are written on a benchmark's command line."""

from __future__ import annotations

from wuerst_demo.errors import SettingsError


def whole(flag: str, text: str) -> int:
    """A whole number from 1. Raises SettingsError."""
    if not text.isdecimal() or not 1 <= len(text) <= 6 or int(text) < 1:
        raise SettingsError(f"{flag} must be a whole number from 1 to 999999.")
    return int(text)


def pair(flag: str, text: str) -> tuple[int, int]:
    """Two whole numbers from 1 with a comma between them. Raises SettingsError."""
    first, comma, second = text.partition(",")
    if not comma:
        raise SettingsError(f"{flag} takes two numbers with a comma between them, as in {flag} 29,12.")
    return whole(flag, first), whole(flag, second)
