"""The page in the visitor's language: English as the code has it, German by the table in `german`.

Labels and other texts that stand on the page from the start are translated in the browser, by its own language
(Gradio's I18n). Whatever handlers answer is translated on its way out, by the language that the browser asks for. Both
happen here, once, to a page that is ready: no handler and no maker of HTML knows more than English.

What a visitor wrote is left alone: in HTML it stands in <q> or <mark>, or under the attribute `translate="no"`, which
browsers' own translators respect too. Answers of the endpoint for programs stay English.

Does not know what the page does.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from html import escape, unescape
from html.parser import HTMLParser
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.components.api_component import Api
from gradio.context import LocalContext

from wuerst_demo.ui.german import TEXTS

Translate = Callable[[str], str]
FIELDS = ("label", "info", "placeholder")
"""What every component may have to say. What it holds is a visitor's, unless it is one of these:"""
SPEAKING = (gr.Button, gr.HTML, gr.Markdown)
SPOKEN_ATTRIBUTES = ("aria-label", "aria-valuetext", "title", "alt", "placeholder")
MARK = "__i18n__"
LONG = {1: 4000, 2: 1000}
"""Places in a sentence -> characters up to which it is looked for."""
LEAST_LONG = 200
"""The same for more places."""
QUOTING = {"q", "mark", "script", "style"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


def speak(page: gr.Blocks) -> None:
    """Makes a finished page speak the languages of its visitors. It has to be launched with `i18n=texts()`."""
    for component in page.blocks.values():
        if not isinstance(component, Api):
            _mark(component)
    for function in page.fns.values():
        if function.fn is not None and function.api_visibility == "private" and function.outputs:
            function.fn = _translated(function.fn, function.outputs)


def texts() -> gr.I18n:
    """The texts that browsers put in place of marks, by language."""
    return gr.I18n(en={text: text for text in TEXTS}, de=dict(TEXTS))


def german(text: str) -> str:
    """`text` in German, where the table has it: as it stands, as a sentence with other numbers or names in it, or
    sentence by sentence. Anything else comes back as it is."""
    return _german(text.strip()) or text


def is_german(header: str) -> bool:
    """Whether a browser with this Accept-Language wants German above all, which is when labels are German too."""
    wanted = []
    for place, entry in enumerate(header.split(",")):
        name, _, quality = entry.strip().partition(";q=")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{1,3})?", quality) else 1.0
        wanted.append((-weight, place, name.partition("-")[0].lower()))
    return bool(wanted) and min(wanted)[2] == "de"


def in_html(html: str, translate: Translate, *, raw: bool = False) -> str:
    """`html` with its texts and its spoken attributes translated, but for what stands under translate="no". `raw`:
    what `translate` gives is not text but already what is to stand in the HTML."""
    walker = _Walker(translate, (lambda text: text) if raw else functools.partial(escape, quote=True))
    walker.feed(html)
    walker.close()
    return "".join(walker.out)


class _Walker(HTMLParser):
    """Copies HTML, and translates on the way."""

    def __init__(self, translate: Translate, write: Callable[[str], str]) -> None:
        super().__init__(convert_charrefs=False)
        self.out: list[str] = []
        self._translate = translate
        self._write = write
        self._text = ""
        self._own = 0
        """How many elements are open since one that is the visitor's, itself included."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._flush()
        self.out.append(self._tag(attrs))
        if tag not in VOID and (self._own or ("translate", "no") in attrs or tag in QUOTING):
            self._own += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._flush()
        self.out.append(self._tag(attrs))

    def handle_endtag(self, tag: str) -> None:
        self._flush()
        self._own = max(0, self._own - 1)
        self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_entityref(self, name: str) -> None:
        self._text += f"&{name};"

    def handle_charref(self, name: str) -> None:
        self._text += f"&#{name};"

    def close(self) -> None:
        super().close()
        self._flush()

    def _flush(self) -> None:
        if self._text:
            self.out.append(self._text if self._own else self._said(self._text))
        self._text = ""

    def _said(self, source: str) -> str:
        text = unescape(source).strip()
        translated = self._translate(text) if text else text
        if translated == text:
            return source
        before, after = source[: len(source) - len(source.lstrip())], source[len(source.rstrip()) :]
        return before + self._write(translated) + after

    def _tag(self, attrs: list[tuple[str, str | None]]) -> str:
        tag = self.get_starttag_text() or ""
        if self._own:
            return tag
        for name, value in attrs:
            if name in SPOKEN_ATTRIBUTES and value and (translated := self._translate(value)) != value:
                tag = re.sub(rf"(\b{name}\s*=\s*)(\"[^\"]*\"|'[^']*')", _put(self._write(translated)), tag, count=1)
        return tag


def _put(text: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f'{found[1]}"{text}"'


# ----------------------------------------------------------------------------------- what stands there from the start


def _mark(component: Any) -> None:
    """Puts marks that the browser replaces in place of the texts of a component."""
    for name in FIELDS:
        text = getattr(component, name, None)
        if isinstance(text, str) and text in TEXTS:
            setattr(component, name, gr.I18n()(text))
    if isinstance(component, gr.Button) and isinstance(component.value, str) and component.value in TEXTS:
        component.value = gr.I18n()(component.value)
    elif isinstance(component, SPEAKING) and isinstance(component.value, str):
        marked = in_html(component.value, _marked, raw=True)
        # Browsers replace one mark in a text and leave the others to be seen: HTML that says more comes from a handler.
        if marked.count(MARK) == 1:
            component.value = marked
    choices = getattr(component, "choices", None)
    if isinstance(choices, list):
        component.choices = [
            (_marked(label), value) if isinstance(label, str) else (label, value) for label, value in choices
        ]


def _marked(text: str) -> str:
    return str(gr.I18n()(text)) if text in TEXTS else text


# ------------------------------------------------------------------------------------------------ what handlers answer


def _translated(handler: Callable[..., Any], outputs: Sequence[Any]) -> Callable[..., Any]:
    """The handler with its answers, and the errors that it means to show, in the language of whoever asks."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def answered(*args: Any, **kwargs: Any) -> Iterator[Any]:
            foreign = _foreign()
            with closing(handler(*args, **kwargs)) as answers:
                for answer in answers:
                    yield _answer(answer, outputs) if foreign else answer

        return answered

    @functools.wraps(handler)
    def answer_once(*args: Any, **kwargs: Any) -> Any:
        foreign = _foreign()
        answer = handler(*args, **kwargs)
        return _answer(answer, outputs) if foreign else answer

    return answer_once


def _foreign() -> bool:
    """Whether the request that is being answered asks for German. Set by Gradio around every handler."""
    request = LocalContext.request.get(None)
    headers = getattr(request, "headers", None)
    return headers is not None and is_german(headers.get("accept-language") or "")


def _answer(answer: Any, outputs: Sequence[Any]) -> Any:
    if isinstance(answer, dict) and all(isinstance(key, Block) for key in answer):
        return {component: _value(component, value) for component, value in answer.items()}
    if len(outputs) == 1:
        return _value(outputs[0], answer)
    if isinstance(answer, tuple | list) and len(answer) == len(outputs):
        return [_value(component, value) for component, value in zip(outputs, answer, strict=True)]
    return answer


def _value(component: Any, value: Any) -> Any:
    """One output: HTML, an update of several properties, or something that is not said in words."""
    if isinstance(value, str) and isinstance(component, SPEAKING):
        return _spoken(component, value)
    if isinstance(value, Mapping) and isinstance(component, gr.HTML) and "__type__" not in value:
        return _table(value)
    if isinstance(value, Component):  # an update written as a component: Gradio keeps what it was made with
        given = value.constructor_args
        for name in (*FIELDS, "value"):
            text = given.get(name)
            if isinstance(text, str) and (name != "value" or isinstance(value, SPEAKING)):
                given[name] = _spoken(value, text) if name == "value" else german(text)
        return value
    if isinstance(value, Mapping) and value.get("__type__") == "update":
        said = {name: german(value[name]) for name in FIELDS if isinstance(value.get(name), str)}
        if isinstance(value.get("value"), str) and isinstance(component, SPEAKING):
            said["value"] = _spoken(component, value["value"])
        return {**value, **said}
    return value


def _table(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the template of a comparison's table is given (see `board`). All of it is HTML; what is not said here is
    numbers, files and visitors' words."""
    headings = {name: in_html(told[name], german) for name in ("name", "across", "down", "shared")}
    rows = [{**row, "cells": [_cell(cell) for cell in row["cells"]]} for row in told["rows"]]
    return {**told, **headings, "rows": rows}


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    names = [[in_html(axis, german), value] for axis, value in cell["names"]]
    return {**cell, "said": in_html(cell["said"], german), "names": names}


def _spoken(component: Any, text: str) -> str:
    return german(text) if isinstance(component, gr.Button) else in_html(text, german)


# ------------------------------------------------------------------------------------------------------------ the table


@functools.lru_cache(maxsize=4096)
def _german(text: str) -> str | None:
    if text in TEXTS:
        return TEXTS[text]
    for pattern, german in _patterns():
        if len(text) > LONG.get(pattern.groups, LEAST_LONG):
            continue  # it may hold a stranger's words, and the time goes up with the length to the power of the places
        if found := pattern.fullmatch(text):
            return german.format_map({name: _german(value) or value for name, value in found.groupdict().items()})
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z\d])", text)
    if len(sentences) < 2:
        return None
    said = [_german(sentence) for sentence in sentences]
    return " ".join(each for each in said if each) if all(said) else None


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Sentences with places for numbers and names in them; those with the most words of their own are tried first."""
    with_places = [(english, german) for english, german in TEXTS.items() if re.search(r"\{\w+\}", english)]
    with_places.sort(key=lambda each: -len(re.sub(r"\{\w+\}", "", each[0])))
    return [(_pattern(english), german) for english, german in with_places]


def _pattern(english: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", english)
    parts[::2] = [re.escape(part) for part in parts[::2]]
    parts[1::2] = [f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile("".join(parts), re.DOTALL)
