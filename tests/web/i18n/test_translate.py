"""The page in German, and the completeness of its catalogue."""

import ast
import json
import re
import tomllib
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio.components.api_component import Api
from gradio.context import LocalContext

import wuerst_demo
from tests.fakes.web import LIMITS, expected_image, fake_context
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.events import Progress, Queued, Result, StageLatents
from wuerst_demo.history.store import HistoryStore
from wuerst_demo.messages import message
from wuerst_demo.web.compare import table as compare_table
from wuerst_demo.web.compare.grid import plan_grid
from wuerst_demo.web.compare.runner import CellResult, ComparisonView
from wuerst_demo.web.explain.report import render_report
from wuerst_demo.web.generate.presets import load_styles
from wuerst_demo.web.i18n.translate import (
    TEXT_PROPERTIES,
    catalogue,
    prefers_german,
    to_german,
    translate,
    translate_for,
)
from wuerst_demo.web.middleware.event_queue import SHARE_USED_DETAIL
from wuerst_demo.web.middleware.open_requests import TOO_MANY_OPEN_DETAIL
from wuerst_demo.web.middleware.uploads import UPLOADS_FULL_DETAIL
from wuerst_demo.web.page import build_page
from wuerst_demo.web.shared.html import status_line
from wuerst_demo.web.shared.progress import ProgressTracker, queue_text, stopped_text
from wuerst_demo.web.shared.static_files import STATIC_FOLDER

UNTRANSLATED = re.compile(r"[\W\d_]*|Würstchen|PNG|VQGAN|ddpm|ddim")
"""What is the same in every language: numbers, symbols, names."""
MARK = "__i18n__"
PLACEHOLDER = re.compile(r"\{\w+(?::[^}]*)?\}")


class TextNodes(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_data(self, data):
        if data.strip():
            self.found.append(data.strip())


def text_nodes(html):
    parser = TextNodes()
    parser.feed(html)
    return parser.found


def texts_of(component):
    texts = [getattr(component, name, None) for name in TEXT_PROPERTIES]
    if isinstance(component, gr.Button):
        texts.append(component.value)
    elif isinstance(component, gr.HTML | gr.Markdown) and isinstance(component.value, str):
        texts += text_nodes(component.value)
    texts += [label for label, _ in getattr(component, "choices", None) or ()]
    return [text for text in texts if isinstance(text, str) and text]


@contextmanager
def requested_in(language):
    """As if a handler answered a browser with this Accept-Language."""
    token = LocalContext.request.set(SimpleNamespace(headers={"accept-language": language}))
    try:
        yield
    finally:
        LocalContext.request.reset(token)


def test_german_is_for_browsers_that_prefer_it():
    assert prefers_german("de")
    assert prefers_german("de-AT,de;q=0.9,en;q=0.8")
    assert not prefers_german("fr, de;q=0.5")  # its labels are English
    assert not prefers_german("en-US,en;q=0.9,de;q=0.8")
    assert not prefers_german("en;q=0.5, fr")
    assert not prefers_german("")
    assert prefers_german("en;q=0.3, de;q=0.7")


@pytest.mark.parametrize(
    ("language", "label"), [("de-DE", "Prior-Schritte"), ("en", "Prior steps"), ("fr", "Prior steps")]
)
def test_texts_are_translated_into_the_language_of_the_request(language, label):
    with requested_in(language):
        assert translate("Prior steps") == label
        assert translate("A text that is in no catalogue.") == "A text that is in no catalogue."
    assert translate("Prior steps") == "Prior steps"  # outside of a request, as in the web API's thread


def test_parameters_are_filled_into_the_translation():
    assert to_german(stopped_text(3)) == "Angehalten. Die 3 fertigen Bilder bleiben."
    progress = Progress(1, "prior", 3, 20, remaining_s=20)
    tracker = ProgressTracker.start(LIMITS.request({"images": 4})).finish(0).update(progress)
    assert to_german(tracker.text) == "Prior 3 von 20, Bild 2 von 4, noch etwa 20 s"


def test_a_users_text_is_never_translated():
    with pytest.raises(InvalidRequest) as error:
        LIMITS.request({"Prior steps": 1})
    assert to_german(error.value.message).startswith("Eine Einstellung „Prior steps“ gibt es nicht.")


@pytest.mark.parametrize("place", [1, 2, 3, 4, 11, 22])
@pytest.mark.parametrize("wait", [None, 3.0, 45.0, 600.0])
def test_every_queue_position_has_a_german_text(place, wait):
    said = to_german(queue_text(Queued(place, wait)))
    assert said.startswith("Als Nächstes" if place == 1 else f"Platz {place} in der Warteschlange")
    assert ("etwa" in said) is (wait is not None)


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("rest", [None, 3.0, 300.0])
def test_every_progress_text_is_translated(images, rest):
    tally = ProgressTracker.start(LIMITS.request({"prompt": "a cat", "images": images}))
    for stage, step, of in (("prior", 1, 29), ("decoder", 12, 12), ("vqgan", 1, 1)):
        tally = tally.update(Progress(0, stage, step, of, remaining_s=rest))
        assert to_german(tally.text) != tally.text or tally.text == "VQGAN"


@pytest.mark.parametrize(
    "values",
    [
        {"width": 300},
        {"width": "512"},
        {"width": 100_000},
        {"seed": -2},
        {"images": 1e300},
        {"prior_guidance": float("inf")},
        {"prior_schedule": "cosine"},
        {"weighting": "yes"},
        {"prompt": "x" * 100_000},
        {"prompt": "\x00"},
        {"prompt": ["a", "b"]},
    ],
    ids=str,
)
def test_every_rejected_value_is_explained_in_german_with_its_label(values):
    with pytest.raises(InvalidRequest) as refused:
        LIMITS.request(values)
    (name,) = values
    label = LIMITS.descriptions[name].label
    said = to_german(refused.value.message)
    assert said != str(refused.value)
    assert said.startswith(catalogue()[label])


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b < c", '" onload="x', "&lt;script&gt;", "</p><p>"])
def test_markup_in_a_parameter_never_becomes_a_tag(text):
    with requested_in("de"):
        shown = status_line("rejected", message("Picture: {name}", name=text))
    assert text_nodes(shown) == [f"Bild: {text}"] * 2
    assert shown.count("<") == 6


def test_every_text_of_the_page_is_in_the_catalogue(tmp_path):
    page = build_page(replace(fake_context(), history=HistoryStore(tmp_path)))
    # Words for a prompt stay English, which is what the checkpoints know; the checkpoint's title is a name.
    words = {
        *fake_context().checkpoint.examples,
        "?",
        f"{fake_context().checkpoint.title} · {fake_context().device}",
        *(f"{each.name}: {each.words}" for each in load_styles(STATIC_FOLDER / "style_presets.toml")),
    }
    missing = {
        text
        for component in page.blocks.values()
        if not isinstance(component, Api)
        for text in texts_of(component)
        if "__i18n__" not in text and text not in words and not UNTRANSLATED.fullmatch(text)
    }
    assert sorted(missing) == []


def test_no_html_has_more_than_one_mark(tmp_path):
    page = build_page(
        replace(fake_context(), history=HistoryStore(tmp_path), runtime={"Device": "cpu", "Data type": "float32"})
    )
    values = [getattr(component, "value", None) for component in page.blocks.values()]
    assert [value for value in values if isinstance(value, str) and value.count(MARK) > 1] == []


def test_every_translation_has_the_placeholders_of_its_template():
    for english, translated in catalogue().items():
        assert set(re.findall(PLACEHOLDER, english)) == set(re.findall(PLACEHOLDER, translated)), english


def test_no_text_that_browsers_translate_has_braces():
    marked = [
        getattr(each, name, None) for each in build_page(fake_context()).blocks.values() for name in TEXT_PROPERTIES
    ]
    keys = [json.loads(str(mark).removeprefix("__i18n__"))["key"] for mark in marked if "__i18n__" in str(mark)]
    assert "Across" in keys
    assert not [key for key in keys if "{" in key or "}" in key]


def test_a_comparison_table_is_translated_except_for_user_input():
    grid = plan_grid(
        LIMITS, {"prompt": "{Done|Seed 3}", "negative_prompt": "Draw"}, ("prior_steps", "4"), ("prompt", "")
    )
    tiles = (CellResult("failed", message="The program is closing; try again when it is back."), CellResult())
    with requested_in("de"):
        seen = compare_table.render_table(ComparisonView("running", "", grid=grid, results=tiles), LIMITS)
    assert (seen["name"], seen["across"], seen["down"]) == ("Der Vergleich", "Prior-Schritte", "Prompt-Varianten")
    first = seen["rows"][0]["cells"][0]
    assert first["names"] == [["Prior-Schritte", "4"], ["", "Done"]]
    assert first["message"].startswith("Das Programm wird beendet")
    assert [row["label"] for row in seen["rows"]] == ["Done", "Seed 3"]
    assert "<span>Breite</span> <span>256</span>" in seen["shared"]
    assert '<span translate="no">Draw</span>' in seen["shared"]


def test_the_report_of_an_image_is_translated():
    stages = StageLatents((np.zeros((16, 6, 6), np.float32),) * 2, (np.zeros((4, 64, 64), np.float32),) * 2)
    request = LIMITS.request({"prompt": "Draw", "seed": 1})
    spent = {"text": 0.1, "prior": 1.0, "decoder": 0.5, "vqgan": 0.1, "total": 3.0}
    result = Result(0, expected_image(request), request, spent, (), stages)

    english = text_nodes(render_report(result))
    with requested_in("de"):
        german_texts = text_nodes(render_report(result))
    units = re.compile(rf"{UNTRANSLATED.pattern}|[\d.]+ m?s|[\d ×]+")
    same = {text for text, other in zip(english, german_texts, strict=True) if text == other}
    # the prompt is the user's, the others are names
    assert {text for text in same if not units.fullmatch(text)} == {"Draw, seed 1", "Prior", "Decoder"}


TRANSLATED = {"message", "translate", "browser_text"}
RAISED = {"InvalidRequest", "PromptError", "UserError", "QueueFull", "StorageError", "MetadataError", "Cancelled"}
"""Errors that a user of the page can see."""
COMMAND_LINE_ONLY = {"training", "benchmarks"}


def package_trees():
    """The syntax tree of every module whose texts can reach the page."""
    package = Path(wuerst_demo.__file__).parent
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] not in COMMAND_LINE_ONLY and (parts[0] != "cli" or parts[-1] == "info"):
            yield ast.parse(path.read_text(encoding="utf-8"))


def string_constants(tree):
    return {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


VARIABLE_TEMPLATES = {
    "axes[name]": "a field's label, or a choice that the page shows",
    "full": "a constant whose name ends in MESSAGE",
    "full_for": "a constant whose name ends in MESSAGE",
    "reason": "a constant whose name ends in MESSAGE",
    "rejection": "a constant whose name ends in MESSAGE",
    "unescape(re.sub('<[^>]*>', '', text))": "a text of ZeroGPU",
}
"""Templates that cannot be seen in the call, and why they have an entry or need none."""


def possible_texts(template, values):
    """The texts that this expression can be; None where that is not known. `values`: name -> expressions."""
    match template:
        case ast.Constant(str(text)):
            return {text}
        case ast.Attribute(_, "label"):
            return set()  # of a field or an axis, which the page shows: tested with the page
        case ast.IfExp():
            either = [possible_texts(each, values) for each in (template.body, template.orelse)]
        case ast.Name(name) if name in values:
            either = [possible_texts(each, values) for each in values[name]]
        case _:
            return None
    return None if None in either else set().union(*either)


def assigned_values(tree):
    """Name -> every expression that is assigned to it alone, anywhere in a module."""
    values = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
    return values


def called_name(function):
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def templates(functions):
    """The first argument of every call of one of these functions, and the expressions that cannot be followed."""
    constants = {
        name: [ast.Constant(text)] for tree in package_trees() for name, text in string_constants(tree).items()
    }
    found, unknown = set(), set()
    for tree in package_trees():
        values = constants | assigned_values(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and called_name(node.func) in functions:
                texts = possible_texts(node.args[0], values)
                found |= texts or set()
                unknown |= {ast.unparse(node.args[0])} if texts is None else set()
    return found, unknown


def test_every_template_of_a_message_can_be_looked_up():
    _, unknown = templates({"message"} | RAISED)
    assert sorted(unknown - {"template"} - VARIABLE_TEMPLATES.keys()) == []


@pytest.mark.parametrize("functions", [TRANSLATED, RAISED], ids=["messages", "errors"])
def test_every_text_for_users_has_a_german_entry(functions):
    used, _ = templates(functions)
    assert used
    assert sorted(used - catalogue().keys()) == []


def test_every_constant_that_holds_a_text_has_a_german_entry():
    named = re.compile(r"_(MESSAGE|STATUS|LABEL|HELP)$")
    used = {text for tree in package_trees() for name, text in string_constants(tree).items() if named.search(name)}
    assert len(used) > 10
    assert sorted(used - catalogue().keys()) == []


def test_every_german_entry_belongs_to_a_text_in_the_code():
    literals = {
        node.value
        for tree in package_trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert sorted(catalogue().keys() - literals) == []


def test_no_english_text_stands_twice_in_the_catalogue():
    sections = tomllib.loads(
        (Path(wuerst_demo.__file__).parent / "web" / "i18n" / "de.toml").read_text(encoding="utf-8")
    ).values()
    assert sum(len(section) for section in sections) == len(catalogue())


@pytest.mark.parametrize("text", [SHARE_USED_DETAIL, TOO_MANY_OPEN_DETAIL, UPLOADS_FULL_DETAIL])
def test_answers_of_a_full_server_are_german_for_german_browsers(text):
    assert translate_for({"accept-language": "de-DE"}, text) == catalogue()[text] != text
    assert translate_for({}, text) == translate_for({"accept-language": "en"}, text) == text
