"""Prompt syntax of other programs: read as text, with one note each."""

from __future__ import annotations

import pytest

from tests.prompts.example_prompts import HOSTILE_PROMPTS
from tests.web.i18n.test_translate import requested_in
from wuerst_demo.prompts.foreign_syntax import find_foreign_syntax
from wuerst_demo.prompts.parser import parse_prompt, split_words
from wuerst_demo.web.i18n.translate import translate

FOREIGN = [
    ("(cat:1.2)", "(words)1.3"),
    ("a cat(black:1.2)", "(words)1.3"),
    ("(1girl, 1990:1.2)", "(words)1.3"),
    ("(cat!:1.2), (:d:1.1)", "(words)1.3"),
    ("(a (cat:1.2) here:1.1)", "(words)1.3"),
    ("(\\(tabby\\):1.2)", "(words)1.3"),
    ("(tail_up :.9 )", "(words)1.3"),
    ('("cat":1.3)', "(words)1.3"),
    ("(🐈:1.3)", "(words)1.3"),
    ("((cat))", "((words))"),
    ("(((((cat)))))", "((words))"),
    ("a [dog] here", "(words)0.9"),
    ("[[dog]]", "(words)0.9"),
    ("[cat:dog:0.5]", "between steps"),
    ("[dog:0.5], [dog::0.5]", "between steps"),
    ("[cat|dog]", "between steps"),
    ("a cat BREAK a dog", "BREAK"),
    ("a cat AND a dog", "AND is"),
    ("a cat <lora:add-detail:0.7>", "--lora"),
    ("<lyco:x>", "--lora"),
    ("embedding:easynegative", "embedding:name"),
    ("(embedding:bad-hands.pt)", "embedding:name"),
    ("a __animal__ here", "wildcard"),
    ("__pets/cats__", "wildcard"),
    ("a {cat|dog}", "Compare"),
    ("cat::2", "words::2"),
    ("hot:: dog", "words::2"),
    ("1.5::cat::", "words::2"),
    ("a cat --ar 3:2", "--ar"),
    ("a cat —ar 3:2", "--ar"),
    ("(cat:-0.5)", "negative prompt"),
    ("(cat:-.5)", "negative prompt"),
    ("(cat:\N{MINUS SIGN}0.5)", "negative prompt"),
    ("\uff08cat\uff1a1.2\uff09", "(words)1.3"),
    ("( (cat) )", "((words))"),
    ("{{cat}}", "Two curly"),
    ("{{{a red cat}}}", "Two curly"),
    ("cat,AND,dog", "AND is"),
    ("a cat AND", "AND is"),
    ("<LORA:x:0.7>", "--lora"),
    ("<embed:x>", "embedding:name"),
    ("<ti:x>", "embedding:name"),
    ("Embedding:easynegative", "embedding:name"),
    ("a <wildcard:animals> here", "<name:value>"),
    ("cat ::2 dog", "words::2"),
    ("cat::-.5", "words::2"),
    ("a cat --ar=3:2", "--ar"),
    ("a cat,--ar 3:2", "--ar"),
    ("a cat --ar:3:2", "--ar"),
    ("a cat \N{EN DASH}ar 3:2", "--ar"),
]


@pytest.mark.parametrize(("prompt", "remedy"), FOREIGN)
def test_every_foreign_syntax_is_kept_as_text_with_one_note(prompt, remedy):
    parsed = parse_prompt(prompt, weighting=True)
    assert "".join(word.text for word in split_words(parsed)) == prompt.replace("\\", "")
    (note,) = [note for note in parsed.notes if "backslash" not in note]
    assert remedy in note


@pytest.mark.parametrize("prompt", [prompt for prompt, _ in FOREIGN])
def test_a_german_page_has_the_notes_in_german(prompt):
    with requested_in("de"):
        notes = parse_prompt(prompt, weighting=True).notes
        assert all(translate(note) != note for note in notes)


def test_notes_with_several_parts_are_german_throughout():
    escaped = r"Für den Text selbst schreibe a\+, oder schalte die Gewichtung im Prompt aus."
    shown = {
        "a+": f"Gelesen: „a+“ als „a“ mit dem Gewicht 1.1. {escaped}",
        "a+ b++ c- d-- e+": (
            "Gelesen: „a+“ als „a“ mit dem Gewicht 1.1, „b++“ als „b“ mit dem Gewicht 1.21,"
            f" „c-“ als „c“ mit dem Gewicht 0.9 und 2 weitere. {escaped}"
        ),
        '("a", "b", "c").blend(2, 1, 1)': "Gelesen als 3 Prompts, gemischt mit den Gewichten 2, 1 und 1.",
        '("a", "b").and(2, 1)': "Gelesen als 2 Prompts, nebeneinandergestellt mit den Gewichten 2 und 1.",
    }
    with requested_in("de"):
        said = {prompt: [translate(note) for note in parse_prompt(prompt, weighting=True).notes] for prompt in shown}
    assert said == {prompt: [note] for prompt, note in shown.items()}


def test_the_same_syntax_twice_has_one_note_and_two_kinds_have_two():
    assert len(parse_prompt("(cat:1.2) and (dog:1.3)", weighting=True).notes) == 1
    assert len(parse_prompt("(cat:1.2) and [dog]", weighting=True).notes) == 2


@pytest.mark.parametrize(
    "prompt",
    [
        "16:9 (16:9), at (12:30), ratio (2:1)",
        "a hand, Andy and BREAKFAST at the sand",
        "std::vector, a:b, x : y",
        "a cat -- and a dog--like thing",
        "{cat}, {}, a|b, [], [ ]",
        "snake_case __init dunder__",
        r"\[cat\] \{a|b}",
        "a <b> c < 3",
        "((cat)1.2 dog)1.1",
        "((cat))1.1",
        "a cat \N{EN DASH}and a dog \N{EM DASH}perhaps",
        "THE SAND-AND-GRAVEL PIT",
        "{{}} {{ }} {a {b}}",
        "a < b: c > d",
        "<http://a.example/>",
    ],
)
def test_text_that_is_no_foreign_syntax_has_no_note_about_it(prompt):
    other = "weight 1"
    assert [note for note in parse_prompt(prompt, weighting=True).notes if other not in note] == []


@pytest.mark.parametrize("prompt", [prompt for prompt, _ in FOREIGN])
def test_without_weighting_every_character_is_text_without_notes(prompt):
    assert parse_prompt(prompt, weighting=False).notes == ()


@pytest.mark.parametrize(
    "text", [*HOSTILE_PROMPTS.values(), "[" * 2000, "[:" * 1000, "{|" * 1000, "{{" * 1000, "<lora:" * 333]
)
def test_no_text_has_more_notes_than_kinds(text):
    assert len(list(find_foreign_syntax(text, True))) <= 15
