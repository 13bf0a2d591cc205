"""Small pieces of HTML: the header, the status line with its bar, a request as it was run.

Does not know Gradio. Everything that came from a visitor or from a checkpoint leaves here escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from wuerst_demo.request import Description, Limits, Number, Request, Switch, Text
from wuerst_demo.ui.drawing import View
from wuerst_demo.ui.progress import about
from wuerst_demo.ui.studio import Studio

_FAST = re.compile(r"\b(Prior|Decoder) \d+ of \d+|, about [^,]+$")
"""What changes with every step in a message: the step, of which the stage is left, and the time."""
# A sausage with a wave of mustard.
_LOGO = (
    '<svg viewBox="0 0 40 40" aria-hidden="true"><g transform="rotate(-32 20 20)" fill="none" stroke-linecap="round">'
    '<path d="M8 18 Q20 27 32 18" stroke="#ae4122" stroke-width="12"/>'
    '<path d="M7 17 q3.2 6 6.3 2.6 t6.4 2 t6.4 -2.2 t6.2 -3" stroke="#e9b83a" stroke-width="2.6"/></g></svg>'
)


def header(studio: Studio) -> str:
    return (
        f"<h1>{_LOGO}Würstchen</h1>"
        "<p>Words become pictures, by way of a space 42 times smaller.</p>"
        f"<p class='aside'>{escape(studio.checkpoint)} · {escape(studio.device)}</p>"
    )


def footer(studio: Studio) -> str:
    """How the server runs; nothing where that is not said."""
    said = [(escape(name), escape(value)) for name, value in studio.running.items()]
    return terms(said) if said else ""


def idle() -> str:
    return _status("idle", "Say what the picture should show, then press Generate or Ctrl + Enter.")


def line(state: str, message: str, fraction: float = 0.0) -> str:
    """The status line of any tab; `state` is one of a view's, or idle."""
    return _status(state, message, fraction)


def expected(seconds: float | None, others: int) -> str:
    """A line of HTML: how long a drawing would take now, while `others` pictures are in work; "" where nobody knows."""
    if seconds is None:
        return ""
    company = {0: "", 1: ", beside 1 other picture"}.get(others, f", beside {others} other pictures")
    return f"<span>Takes {about(seconds)}{company}.</span>"


def status(view: View) -> str:
    if view.state == "done":
        count = len(view.pictures)
        return _status("done", f"{'1 picture' if count == 1 else f'{count} pictures'} in {view.seconds:.1f} s")
    return _status(view.state, view.message, view.fraction)


def _status(state: str, message: str, fraction: float = 0.0) -> str:
    """The line of text and the bar. Screen readers hear the stages but not each step: that would never end."""
    if state == "idle":  # said once, for all: nothing in it changes too fast to be heard
        return f'<div class="state idle"><p class="said" role="status" aria-live="polite">{escape(message)}</p></div>'
    busy = state in ("waiting", "drawing")
    percent = round(100 * fraction)
    bar = (
        f'<div class="bar" role="progressbar" aria-label="Progress" aria-valuetext="{escape(message)}"'
        f' aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"><i style="width:{percent}%"></i></div>'
    )
    heard = _FAST.sub(r"\1", message) if busy else message
    live = "assertive" if state in ("refused", "failed") else "polite"
    return (
        f'<div class="state {state}"><p class="unseen" role="status" aria-live="{live}">{escape(heard)}</p>'
        f'<p class="said" aria-hidden="true">{escape(message)}</p>{bar if busy else ""}</div>'
    )


def recipe(view: View, limits: Limits) -> str:
    """Every setting of the request as it is run, in the order of its fields, with what the engine had to say."""
    if view.request is None:
        return ""
    said = dict.fromkeys(note for picture in view.pictures for note in picture.notes)
    return f"<h2>As drawn</h2>{terms(settings(view.request, limits))}{notes(said)}"


def settings(request: Request, limits: Limits, without: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Label and value, as HTML, of every field of a request but some."""
    named = [(name, each) for name, each in limits.descriptions.items() if name not in without]
    return [(escape(each.label), _value(getattr(request, name), each)) for name, each in named]


def terms(rows: Iterable[tuple[str, str]]) -> str:
    """A list of names and values, both HTML; what has no value is left out."""
    return f"<dl>{''.join(_term(label, value) for label, value in rows if value)}</dl>"


def _term(label: str, value: str) -> str:
    return f'<div class="{"long" if len(value) > 40 else "short"}"><dt>{label}</dt><dd>{value}</dd></div>'


def came(source: str, but: Sequence[str]) -> str:
    """Where settings came from, and what of them did not, as HTML."""
    head = f"<p>{escape(source)}</p>" if source else ""
    return f'<div class="{"but" if but else "well"}" role="status">{head}{notes(but)}</div>' * bool(head or but)


def notes(said: Iterable[str]) -> str:
    listed = "".join(f"<li>{escape(note)}</li>" for note in said)
    return f"<ul>{listed}</ul>" if listed else ""


def _value(value: object, description: Description) -> str:
    if isinstance(description, Switch):
        return "on" if value else "off"
    if isinstance(description, Number) and isinstance(value, int | float):
        return str(int(value)) if description.whole else f"{value:g}"
    said = escape(str(value))
    # A visitor's words stay as they are, whatever language the page speaks.
    return f'<span translate="no">{said}</span>' if said and isinstance(description, Text) else said
