"""Languages of the web page: English, and German for browsers that prefer it.

One catalogue a language, a TOML file, maps English templates (see `wuerst_demo.messages`) to translations. Texts that
are on the page from the start are sent as marks, which the browser replaces (Gradio's I18n). What handlers return is
translated as it is made, by `translate`, into the language of the current request. User input is never translated; in
HTML it carries translate="no". Answers of the web API stay English.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from gradio.context import LocalContext
from gradio.i18n import I18nData

from wuerst_demo.messages import Message, fill

TEXT_PROPERTIES = ("label", "info", "placeholder")
"""Properties that hold texts of the page on every component; values do so on buttons alone."""

_marked: dict[str, str] = {}
"""English texts that the browser translates, with their translation: those on the pages built so far."""


def translate(text: str) -> str:
    """`text` in the language of the current request. A `Message` is looked up by its template, any other string as it
    is; what the catalogue lacks stays English."""
    return to_german(text) if _german_requested() else text


def to_german(text: str) -> str:
    if not isinstance(text, Message):
        return catalogue().get(text, text)
    template = catalogue().get(text.template)
    if template is None:
        return text
    parameters = text.parameters.items()
    return fill(template, {name: to_german(each) if isinstance(each, Message) else each for name, each in parameters})


def prefers_german(header: str) -> bool:
    """Whether German comes first in an Accept-Language header, which is when the browser shows German labels too."""
    languages = []
    for position, entry in enumerate(header.split(",")):
        name, _, quality = entry.strip().partition(";q=")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{1,3})?", quality) else 1.0
        languages.append((-weight, position, name.partition("-")[0].lower()))
    return min(languages)[2] == "de"


def translate_for(headers: Mapping[str, str], text: str) -> str:
    """`text` in the language of a request with these headers, for answers that no handler makes."""
    return to_german(text) if prefers_german(headers.get("accept-language") or "") else text


@functools.cache
def catalogue() -> Mapping[str, str]:
    """The German catalogue: English template -> translation, of all its sections."""
    sections = tomllib.loads(files("wuerst_demo.web.i18n").joinpath("de.toml").read_text(encoding="utf-8"))
    return MappingProxyType({english: german for section in sections.values() for english, german in section.items()})


def _german_requested() -> bool:
    # Gradio sets the request around every call of a handler, and around every step of a generator.
    headers = getattr(LocalContext.request.get(None), "headers", None)
    return headers is not None and prefers_german(headers.get("accept-language") or "")


# ------------------------------------------------------------------------------------------- translated in the browser


def browser_text(text: str) -> str:
    """`text` as a mark that the browser replaces, for HTML that is on the page from the start.

    Browsers replace the first mark of a value only: HTML with more texts comes from a handler.
    """
    return str(_mark(text))


def localize_page(page: gr.Blocks) -> None:
    """Mark the labels, help texts, placeholders, choices and buttons of a finished page for translation.

    The page has to be launched with `i18n=browser_texts()`.
    """
    for component in page.blocks.values():
        if not isinstance(component, Api):
            _mark_component(component)


def browser_texts() -> gr.I18n:
    """Translations of the marks on the pages built so far."""
    return gr.I18n(en={text: text for text in _marked}, de=dict(_marked))


def _mark(text: str) -> I18nData | str:
    if (text.template if isinstance(text, Message) else text) not in catalogue():
        return text
    _marked[str(text)] = to_german(text)
    return I18nData(str(text))


def _mark_component(component: Any) -> None:
    for name in (*TEXT_PROPERTIES, *(["value"] if isinstance(component, gr.Button) else [])):
        if isinstance(text := getattr(component, name, None), str):
            setattr(component, name, _mark(text))
    if isinstance(choices := getattr(component, "choices", None), list):
        component.choices = [
            (browser_text(label) if isinstance(label, str) else label, value) for label, value in choices
        ]
