"""The foot of the page: how the server runs, a report of it for bug reports, and the list of keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape

from wuerst_demo.web.context import WebContext
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.html import definition_list

KEYS: Mapping[str, str] = {
    "Ctrl + Enter": "Generates, or compares.",
    "Esc": "Stops, and keeps what is finished.",
    "Ctrl + ↑, Ctrl + ↓": "Raises or lowers the weight of the words at the cursor.",
    "Alt + 1 to 5": "Chooses a tab.",
    "Ctrl + /": "Shows this list.",
}
"""Keys -> what they do."""
KEYS_TITLE = "Keys"
STATEMENT_TITLE = "Accessibility"
STATEMENT = (
    "The aim is WCAG 2.2, level AA. Tested automatically, in Chromium: axe, the keyboard alone, a zoom of 400 %, forced"
    " colours, reduced motion and the accessibility tree. Nobody has tested it with a screen reader yet.",
    "What does not work: pictures have no description beyond their prompt, the slider between two pictures of a"
    " comparison needs a pointer, and previews change several times a second until you stop them.",
    "Report a problem in the repository from which this program comes, with the text of “Copy what runs here”.",
)
"""docs/accessibility.md in short."""


def server_facts(context: WebContext) -> dict[str, str]:
    """How the server runs at the moment, by name."""
    fleet = {"Replicas": context.fleet_status()} if context.fleet_status else {}
    return {**fleet, **context.runtime}


def render_footer(runtime: Mapping[str, str]) -> str:
    """The foot in the language of the current request; `runtime` is how the server runs, by name."""
    rows = [(escape(translate(name)), escape(translate(value))) for name, value in runtime.items()]
    keys = f'<button type="button" class="show-keys">{translate(KEYS_TITLE)}</button>'
    return (
        f'<div class="tools">{keys}{_report_button(runtime)}</div>{definition_list(rows)}{_statement()}{_keys_dialog()}'
    )


def format_report(runtime: Mapping[str, str]) -> str:
    """How the server runs, as lines of text in English: versions, device and checkpoint, no prompts and no paths."""
    return "".join(f"{name}: {value}\n" for name, value in runtime.items())


def _report_button(runtime: Mapping[str, str]) -> str:
    if not runtime:
        return ""
    report = escape(json.dumps([format_report(runtime), translate("Copied"), translate("Copying was blocked")]))
    return f'<button type="button" class="report" data-report="{report}">{translate("Copy what runs here")}</button>'


def _statement() -> str:
    """The accessibility statement."""
    paragraphs = "".join(f"<p>{escape(translate(each))}</p>" for each in STATEMENT)
    return f'<details class="statement"><summary>{translate(STATEMENT_TITLE)}</summary>{paragraphs}</details>'


def _keys_dialog() -> str:
    rows = "".join(
        f"<div><dt><kbd>{translate(key)}</kbd></dt><dd>{translate(effect)}</dd></div>" for key, effect in KEYS.items()
    )
    close = f'<form method="dialog"><button>{translate("Close")}</button></form>'
    mac = translate("On a Mac, Cmd does what Ctrl does, and Option what Alt does.")
    return (
        f'<dialog id="keys" aria-labelledby="keys-title"><h2 id="keys-title">{translate(KEYS_TITLE)}</h2>'
        f"<dl>{rows}</dl><p>{mac}</p>{close}</dialog>"
    )
