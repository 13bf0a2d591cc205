"""Texts shown to users: English, with what a translation needs.

The English template is the id of a text, as in gettext. A `Message` is the finished English text, so the command line
and the web API use it as a plain string; the web page looks up its template in a catalogue (see `web.i18n`) and fills
the same parameters into the translation.
"""

from __future__ import annotations

from typing import Any


class Message(str):
    """An English text that remembers its template and parameters. Create one with `message`."""

    template: str
    """The text with `{name}` for what varies: the id in every catalogue."""
    parameters: dict[str, Any]
    """Values by name. A `Message` among them is translated too; a plain string is not: it may be a user's text."""

    def __new__(cls, template: str, parameters: dict[str, Any]) -> Message:
        self = super().__new__(cls, fill(template, parameters))
        self.template, self.parameters = template, parameters
        return self

    def __getnewargs__(self) -> tuple[str, dict[str, Any]]:  # type: ignore[override]
        return self.template, self.parameters


def message(template: str, /, **parameters: Any) -> Message:
    """A text for users. Placeholders are those of `str.format`; without parameters, braces stay as they are.

    Give `template` as a literal: a test looks up every one of them in the catalogues.
    """
    return Message(template, parameters)


def fill(template: str, parameters: dict[str, Any]) -> str:
    """`template`, in any language, with its placeholders replaced."""
    return template.format_map(parameters) if parameters else template
