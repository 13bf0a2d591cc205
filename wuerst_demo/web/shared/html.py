"""HTML that several tabs use: page header and foot, status line, settings of a request, notes.

Texts are translated here, into the language of the current request. User input and a checkpoint's texts leave here
escaped; user input is marked translate="no".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from wuerst_demo.fields import Description, Number, Switch, Text
from wuerst_demo.messages import message
from wuerst_demo.request import Limits, Request
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.i18n.translate import browser_text, translate
from wuerst_demo.web.shared.generation import KEPT_MESSAGE, GenerationView
from wuerst_demo.web.shared.progress import announcement, count_text, duration_text

# A sausage with a wave of mustard.
_LOGO_SVG = (
    '<svg viewBox="0 0 40 40" aria-hidden="true"><g transform="rotate(-32 20 20)" fill="none" stroke-linecap="round">'
    '<path d="M8 18 Q20 27 32 18" stroke="#ae4122" stroke-width="12"/>'
    '<path d="M7 17 q3.2 6 6.3 2.6 t6.4 2 t6.4 -2.2 t6.2 -3" stroke="#e9b83a" stroke-width="2.6"/></g></svg>'
)
_IDLE_HTML = '<div class="state idle"><p class="status-text" role="status" aria-live="polite">{}</p></div>'


def page_header(context: WebContext) -> str:
    return (
        f"<h1>{_LOGO_SVG}Würstchen</h1>"
        f"<p>{browser_text('Words become pictures, by way of a space 42 times smaller.')}</p>"
        f"<p class='aside'>{escape(context.checkpoint.title)} · {escape(context.device)}</p>"
        # The list of keys, in the foot, names its button in the language of the page.
        '<button type="button" class="show-keys" aria-labelledby="keys-title">?</button>'
    )


def fold_button(panel: str, label: str) -> str:
    """A button that opens and closes the panel with this id, which has the class "fold-panel" (see static/folds.js)."""
    text = f"{browser_text(label)}<span class='now'></span>"
    return f'<button type="button" class="fold" aria-expanded="false" aria-controls="{panel}">{text}</button>'


def initial_status(text: str) -> str:
    """The status line of a tab whose page has just been opened. The browser translates it."""
    return _IDLE_HTML.format(browser_text(text))


def idle_status() -> str:
    """The status line of the Generate tab before the first request."""
    return initial_status("Say what the picture should show, then press Generate or Ctrl + Enter.")


def status_line(state: str, text: str, fraction: float = 0.0) -> str:
    """The status line of any tab, with a progress bar while it is busy; `state` is one of a view's, or "idle".

    Screen readers announce the stages, not every step.
    """
    shown = escape(translate(text))
    if state == "idle":
        return _IDLE_HTML.format(shown)
    busy = state in ("waiting", "running")
    percent = round(100 * fraction)
    bar = (
        f'<div class="bar" role="progressbar" aria-label="{translate("Progress")}" aria-valuetext="{shown}"'
        f' aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"><i style="width:{percent}%"></i></div>'
    )
    announced = escape(translate(announcement(text))) if busy else shown
    live = "assertive" if state in ("rejected", "failed") else "polite"
    return (
        f'<div class="state {state}"><p class="visually-hidden" role="status" aria-live="{live}">{announced}</p>'
        f'<p class="status-text" aria-hidden="true">{shown}</p>{bar if busy else ""}</div>'
    )


def generation_status(view: GenerationView) -> str:
    """The status line of a generation."""
    if view.state != "done" or view.message == KEPT_MESSAGE:
        return status_line(view.state, view.message, view.fraction)
    pictures = count_text(len(view.images))
    return status_line("done", message("{pictures} in {seconds:.1f} s", pictures=pictures, seconds=view.seconds))


def time_estimate(seconds: float | None, others: int) -> str:
    """How long a generation would take now, while `others` images are in progress; "" where that is unknown."""
    if seconds is None:
        return ""
    time = duration_text(seconds)
    match others:
        case 0:
            text = message("Takes {time}.", time=time)
        case 1:
            text = message("Takes {time}, beside 1 other picture.", time=time)
        case _:
            text = message("Takes {time}, beside {others} other pictures.", time=time, others=others)
    return f"<span>{translate(text)}</span>"


def request_details(view: GenerationView, limits: Limits) -> str:
    """All settings of a request as it is run, and the notes of its finished images."""
    if view.request is None:
        return ""
    notes = dict.fromkeys(note for image in view.images for note in image.notes)
    rows = definition_list(request_rows(view.request, limits))
    return f"<h2>{translate('Settings')}</h2>{rows}{notes_list(notes)}"


def request_rows(request: Request, limits: Limits, without: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Label and value, as HTML, of the fields of a request, except those in `without`."""
    fields = [(name, each) for name, each in limits.descriptions.items() if name not in without]
    rows = [(escape(translate(each.label)), _field_value(getattr(request, name), each)) for name, each in fields]
    if request.variation is not None:
        rows.append((escape(translate("Variation")), f"{100 * request.variation.level:.0f} %"))
    if request.morph is not None and request.morph.frame is not None:
        rows.append((escape(translate("Morph")), f"{request.morph.frame + 1} / {request.morph.frames}"))
    return rows


def definition_list(rows: Iterable[tuple[str, str]]) -> str:
    """A list of names and values, both HTML, without those that have no value."""
    return f"<dl>{''.join(_definition(label, value) for label, value in rows if value)}</dl>"


def _definition(label: str, value: str) -> str:
    return f'<div class="{"long" if len(value) > 40 else "short"}"><dt>{label}</dt><dd>{value}</dd></div>'


def restore_notes(source: str, notes: Sequence[str]) -> str:
    """Where restored settings came from, and notes on those that could not be restored; "" for neither."""
    head = f"<p>{escape(translate(source))}</p>" if source else ""
    return f'<div class="{"but" if notes else "well"}" role="status">{head}{notes_list(notes)}</div>' * bool(
        head or notes
    )


def notes_list(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(translate(note))}</li>" for note in notes)
    return f"<ul>{items}</ul>" if items else ""


def _field_value(value: object, description: Description) -> str:
    match description:
        case Switch():
            return translate("on" if value else "off")
        case Number() if isinstance(value, int | float):
            return str(int(value)) if description.whole else f"{value:g}"
        case Text() if value:
            return f'<span translate="no">{escape(str(value))}</span>'
        case _:
            return escape(translate(str(value)))
