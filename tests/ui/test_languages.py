"""The page in German: what is translated, what is left alone, and what is still missing."""

import ast
import importlib
import json
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio.components.api_component import Api
from gradio.context import LocalContext

from tests.ui.fakes import LIMITS, paint, studio
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.events import Progress, Queued, Result, Stages
from wuerst_demo.history.history import History
from wuerst_demo.ui import board, languages
from wuerst_demo.ui.account import account
from wuerst_demo.ui.comparing import Board, Tile
from wuerst_demo.ui.german import TEXTS
from wuerst_demo.ui.grid import plan
from wuerst_demo.ui.languages import FIELDS, MARK, SPEAKING, german, in_html, is_german, speak
from wuerst_demo.ui.look import ASSETS
from wuerst_demo.ui.page import build
from wuerst_demo.ui.progress import Tally, waiting
from wuerst_demo.ui.styles import styles

SAME = re.compile(r"[\W\d_]*|Würstchen|PNG|VQGAN")
"""What is the same in every language: numbers, signs, names."""


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_data(self, data):
        if data.strip():
            self.found.append(data.strip())


def said_by(component):
    texts = [getattr(component, name, None) for name in FIELDS]
    if isinstance(component, gr.Button):
        texts.append(component.value)
    elif isinstance(component, SPEAKING) and isinstance(component.value, str):
        reader = Texts()
        reader.feed(component.value)
        texts += reader.found
    texts += [label for label, _ in getattr(component, "choices", None) or ()]
    return [text for text in texts if isinstance(text, str) and text]


def test_a_browser_gets_the_language_that_it_prefers():
    assert is_german("de")
    assert is_german("de-AT,de;q=0.9,en;q=0.8")
    assert not is_german("fr, de;q=0.5")  # its labels would be English
    assert not is_german("en-US,en;q=0.9,de;q=0.8")
    assert not is_german("en;q=0.5, fr")
    assert not is_german("")
    assert is_german("en;q=0.3, de;q=0.7")


def test_numbers_find_their_place_in_the_other_language():
    assert german("Prior 3 of 20, picture 2 of 4, about 20 s left") == "Prior 3 von 20, Bild 2 von 4, noch etwa 20 s"
    assert german("Stopped. The 3 finished pictures are kept.") == "Angehalten. Die 3 fertigen Bilder bleiben."


@pytest.mark.parametrize("place", [1, 2, 3, 4, 11, 22])
@pytest.mark.parametrize("wait", [None, 3.0, 45.0, 600.0])
def test_every_place_in_line_is_said_in_german(place, wait):
    said = german(waiting(Queued(place, wait)))
    assert said.startswith("Als Nächstes" if place == 1 else f"Platz {place} in der Reihe")
    assert ("etwa" in said) is (wait is not None)


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("rest", [None, 3.0, 300.0])
def test_every_step_of_a_drawing_is_said_in_german(images, rest):
    tally = Tally.start(LIMITS.request({"prompt": "a cat", "images": images}))
    for stage, step, of in (("prior", 1, 29), ("decoder", 12, 12), ("vqgan", 1, 1)):
        tally = tally.moved(Progress(0, stage, step, of, rest=rest))
        assert german(tally.sentence) != tally.sentence or tally.sentence == "VQGAN"


@pytest.mark.parametrize(
    "values",
    [
        {"width": 300},
        {"width": "512"},
        {"width": 100_000},
        {"seed": -1},
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
def test_every_refusal_of_a_value_is_said_in_german_with_the_german_label(values):
    with pytest.raises(InvalidRequest) as refused:
        LIMITS.request(values)
    (name,) = values
    label = LIMITS.descriptions[name].label
    said = german(str(refused.value))
    assert said != str(refused.value)
    assert said.startswith(TEXTS[label])


def test_what_is_not_in_the_table_stays_as_it_is():
    assert german("No such sentence stands anywhere.") == "No such sentence stands anywhere."


def test_a_strangers_words_cannot_keep_the_server_busy():
    evil = ", ".join(letter * 30 for letter in "abcdefghijkl").replace("c", "x of x, picture x of ")
    for text in (evil, evil * 20):  # these took minutes
        assert german(text) == text
    assert german(f"Left out, since there is no such setting here: {evil[:480]}.").startswith("Ausgelassen")


def test_html_keeps_its_form_and_speaks_german():
    html = '<p class="a">Draw</p><button aria-label="Draw">Draw</button><svg viewBox="0 0 1 1"><path d="M0 0"/></svg>'
    assert in_html(html, german) == html.replace("Draw", "Zeichnen")


def test_what_a_visitor_wrote_is_left_alone():
    html = '<p>Draw</p><q translate="no">Draw <b>Draw</b><br>Draw</q><p>Draw</p>'
    expected = '<p>Zeichnen</p><q translate="no">Draw <b>Draw</b><br>Draw</q><p>Zeichnen</p>'
    assert in_html(html, german) == expected


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b < c", '" onload="x', "&lt;script&gt;", "</p><p>"])
def test_whatever_stands_between_tags_never_becomes_a_tag(text):
    html = f"<p>{escape(text)}</p>"
    assert in_html(html, german) == html
    shouted = in_html(html, lambda text: text + "!")
    assert shouted == f"<p>{escape(text + '!')}</p>"


def test_everything_that_stands_on_the_page_is_in_the_table(tmp_path):
    page = build(replace(studio(), history=History(tmp_path)))
    # Words for a prompt stay English, which is what the checkpoints know; the checkpoint's title is a name.
    words = {
        studio().examples[0],
        f"{studio().checkpoint} · {studio().device}",
        *(f"{each.name}: {each.words}" for each in styles(ASSETS / "styles.toml")),
    }
    missing = {
        text
        for component in page.blocks.values()
        if not isinstance(component, Api)
        for text in said_by(component)
        if "__i18n__" not in text and text not in words and not SAME.fullmatch(text)
    }
    assert sorted(missing) == []


def test_no_html_holds_more_than_the_one_mark_that_browsers_replace(tmp_path):
    page = build(replace(studio(), history=History(tmp_path), running={"Device": "cpu", "Numbers": "float32"}))
    values = [getattr(component, "value", None) for component in page.blocks.values()]
    assert [value for value in values if isinstance(value, str) and value.count(MARK) > 1] == []


def test_every_place_in_a_sentence_is_in_its_translation_too():
    for english, translated in TEXTS.items():
        assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", translated)), english


def test_no_text_that_browsers_translate_has_braces_for_those_end_its_mark_too_soon():
    marked = [getattr(each, name, None) for each in build(studio()).blocks.values() for name in FIELDS]
    keys = [json.loads(str(mark).removeprefix("__i18n__"))["key"] for mark in marked if "__i18n__" in str(mark)]
    assert "Across" in keys
    assert not [key for key in keys if "{" in key or "}" in key]


class Asker:
    def __init__(self, language):
        self.headers = {"accept-language": language}


@pytest.mark.parametrize(("language", "heading"), [("de", "Prior-Schritte"), ("en", "Prior steps")])
def test_what_handlers_answer_is_said_in_the_language_of_whoever_asks(language, heading):
    with gr.Blocks() as page:
        status, button, box = gr.HTML(), gr.Button(), gr.Textbox(label="Prompt")
        answer = "<p>Prior steps</p>", gr.Button("Prior steps"), "Draw"
        button.click(lambda: answer, None, [status, button, box], api_visibility="private")
    speak(page)
    (handler,) = page.fns.values()
    token = LocalContext.request.set(Asker(language))
    try:
        said, pressed, held = handler.fn()
    finally:
        LocalContext.request.reset(token)
    assert said == f"<p>{heading}</p>"
    assert pressed.constructor_args["value"] == heading
    assert held == "Draw"  # what a field holds is its visitor's


def test_an_answer_that_also_shows_a_row_is_translated_too():
    with gr.Blocks() as page:
        status, button = gr.HTML(), gr.Button()
        with gr.Row(visible=False) as row:
            pass
        answer = {row: gr.Row(visible=True), status: "<p>Prior steps</p>"}
        button.click(lambda: answer, None, [row, status], api_visibility="private")
    speak(page)
    (handler,) = page.fns.values()
    token = LocalContext.request.set(Asker("de"))
    try:
        assert handler.fn()[status] == "<p>Prior-Schritte</p>"
    finally:
        LocalContext.request.reset(token)


def test_a_table_is_translated_but_for_what_its_visitor_wrote():
    grid = plan(LIMITS, {"prompt": "{Done|Seed 3}", "negative_prompt": "Draw"}, ("prior_steps", "4"), ("prompt", ""))
    tiles = (Tile("failed", message="The program is closing; try again when it is back."), Tile())
    with gr.Blocks() as page:
        shown, button = gr.HTML(), gr.Button()
        told = board.table(Board("drawing", "", grid=grid, tiles=tiles), LIMITS)
        button.click(lambda: told, None, [shown], api_visibility="private")
    speak(page)
    (handler,) = page.fns.values()
    token = LocalContext.request.set(Asker("de"))
    try:
        seen = handler.fn()
    finally:
        LocalContext.request.reset(token)
    assert (seen["name"], seen["across"], seen["down"]) == ("Der Vergleich", "Prior-Schritte", "Prompt-Varianten")
    first = seen["rows"][0]["cells"][0]
    assert first["names"] == [["Prior-Schritte", "4"], ["", "Done"]]
    assert first["said"].startswith("Das Programm wird beendet")
    assert [row["label"] for row in seen["rows"]] == ["Done", "Seed 3"]
    assert "<span>Breite</span> <span>256</span>" in seen["shared"]
    assert '<span translate="no">Draw</span>' in seen["shared"]


def test_an_account_of_a_picture_is_in_german_from_its_slider_to_its_times():
    stages = Stages((np.zeros((16, 6, 6), np.float32),) * 2, (np.zeros((4, 64, 64), np.float32),) * 2)
    request = LIMITS.request({"prompt": "Draw", "seed": 1})
    spent = {"text": 0.1, "prior": 1.0, "decoder": 0.5, "vqgan": 0.1, "total": 3.0}
    said = Texts()
    said.feed(account(Result(0, paint(request), request, spent, (), stages)))
    units = re.compile(rf"{SAME.pattern}|[\d.]+ m?s")
    missing = [text for text in said.found if german(text) == text and not units.fullmatch(text)]
    # the prompt is the visitor's, the others are names
    assert set(missing) == {"Draw, seed 1", "Prior", "Decoder"}


REFUSALS = {"InvalidRequest", "PromptError", "UserError", "Busy", "StorageError", "MetadataError", "Cancelled"}
SAID_ELSEWHERE = re.compile(r"7 must be 7 from 7\.|7 is 7; choose from 7\.|7 \(7\); try again 7\.")
"""Refusals that are put together of parts; tests above have them whole."""


def refusals():
    """What the code says where it refuses something, with 7 in place of what varies."""
    package = Path(languages.__file__).parents[1]
    alone = ("request", "metadata", "found", "pictures", "model/reading", "model/syntax", "model/prompts")
    whole = (path for folder in ("ui", "engine", "history") for path in (package / folder).glob("*.py"))
    for path in (*whole, *(package / f"{name}.py" for name in alone)):
        module = importlib.import_module(".".join(path.relative_to(package.parent).with_suffix("").parts))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from (said for node in ast.walk(tree) if (said := refusal(node, vars(module))))


def refusal(node, names):
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSALS and node.args):
        return None
    match node.args[0]:
        case ast.Constant(str(text)):
            return text
        case ast.Name(name) if isinstance(names.get(name), str):
            return names[name]
        case ast.JoinedStr(parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else varying(part, names) for part in parts
            )
    return None


def varying(part, names):
    if isinstance(part, ast.Constant):
        return part.value
    known = names.get(part.value.id) if isinstance(part.value, ast.Name) else None
    return known if isinstance(known, str) else "7"


def test_every_refusal_in_the_code_is_said_in_german():
    said = [text for text in refusals() if not SAID_ELSEWHERE.fullmatch(text)]
    assert len(said) > 50
    assert [text for text in said if german(text) == text] == []
