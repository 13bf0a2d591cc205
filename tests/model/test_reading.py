"""How prompts are read: weights as Compel reads them, everything else as it stands, and all of it quickly."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.model.texts import ATTACKS, BOUND, BROKEN, TEXTS, anything, fastest
from wuerst_demo.errors import PromptError
from wuerst_demo.model import syntax
from wuerst_demo.model.reading import Parsed, Passage, parse, words


def read(prompt: str) -> list[tuple[str, float]]:
    """The passages of a prompt that is not joined from several, stripped."""
    (passages,) = parse(prompt, weighting=True).prompts
    return [(passage.text.strip(), passage.weight) for passage in passages]


def text_of(parsed: Parsed) -> str:
    return "".join(word.text for word in words(parsed))


# ------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("prompt", "passages"),
    [
        ("(cat)1.5", [("cat", 1.5)]),
        ("(cat).5", [("cat", 0.5)]),
        ("(cat)0", [("cat", 0)]),
        ("a (big cat)1.5 on a mat", [("a", 1), ("big cat", 1.5), ("on a mat", 1)]),
        ("cat++", [("cat", 1.1**2)]),
        ("cat--", [("cat", 0.9**2)]),
        ("(big cat)+, dog-.", [("big cat", 1.1), (",", 1), ("dog", 0.9), (".", 1)]),
        ('"big cat"++', [("big cat", 1.1**2)]),
        ("((cat)2 dog)1.5", [("cat", 3), ("dog", 1.5)]),
        ("(a (b (c)2)2 d)0.5", [("a", 0.5), ("b", 1), ("c", 2), ("d", 0.5)]),
        ("well-known++ cat", [("well-known", 1.1**2), ("cat", 1)]),
        ("(cat)1.5.", [("cat", 1.5), (".", 1)]),
        ("(cat)++(dog)--", [("cat", 1.1**2), ("dog", 0.9**2)]),
        (r"(cat \(tabby\))1.5", [("cat (tabby)", 1.5)]),
    ],
)
def test_weights_multiply_into_the_passages_they_enclose(prompt, passages):
    assert read(prompt) == [(text, pytest.approx(weight)) for text, weight in passages]


def test_neighbours_of_one_weight_are_one_passage():
    assert read("cat++ dog++ (bird)1.5 (fish)1.5") == [("cat dog", pytest.approx(1.21)), ("bird fish", 1.5)]


def test_neighbours_are_joined_with_a_space_so_that_words_stay_words():
    assert read("(un)2(known)2") == [("un known", 2)]


# ---------------------------------------------------------------------------------------------------- plain text


@pytest.mark.parametrize("text", TEXTS)
def test_text_without_weights_keeps_every_character_and_needs_no_note(text):
    assert parse(text, weighting=True) == Parsed(((Passage(text),),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I :( you", "partner"),
        ("8-) cool", "partner"),
        ("a) b", "partner"),
        ("()0.5", "empty brackets"),
        ("( )++", "empty brackets"),
        ("(cat:1.3)", "other programs"),
    ],
)
def test_text_that_only_looks_like_weights_is_kept_with_a_note(text, said):
    parsed = parse(text, weighting=True)
    assert parsed.prompts == ((Passage(text),),)
    assert said in " ".join(parsed.notes)


def test_a_sign_at_a_words_end_is_a_weight_and_a_note_says_how_to_write_the_text():
    parsed = parse("code in C++", weighting=True)
    assert read("code in C++") == [("code in", 1), ("C", pytest.approx(1.21))]
    (note,) = parsed.notes
    assert "'C++' as 'C' with weight 1.21" in note
    assert r"C\+\+" in note


def test_what_the_note_says_to_write_is_read_as_the_text():
    assert read(r"code in C\+\+ \(or \"B\-\"\)") == [('code in C++ (or "B-")', 1)]


def test_a_backslash_that_was_left_out_is_said():
    assert "backslash" in " ".join(parse(r"\(^o^)/", weighting=True).notes)


def test_a_weight_of_one_that_vanishes_is_said():
    assert "comes to 1" in " ".join(parse("(cat)1", weighting=True).notes)


def test_without_weighting_nothing_has_a_meaning():
    text = '("a", "b").blend(1) ((((((((((((((((( (cat)1.5 dog++'
    assert parse(text, weighting=False) == Parsed(((Passage(text),),))


@given(anything)
@settings(deadline=None)
def test_any_text_is_read_or_refused_and_never_changed_silently(text):
    try:
        parsed = parse(text, weighting=True)
    except PromptError:
        return
    weighted = any(passage.weight != 1 for passages in parsed.prompts for passage in passages)
    assert parsed.notes or weighted or len(parsed.prompts) > 1 or parsed.prompts == ((Passage(text),),)
    assert all(0 <= passage.weight <= syntax.HEAVIEST for passages in parsed.prompts for passage in passages)
    assert len(parsed.weights) == len(parsed.prompts)


@given(anything)
def test_the_words_joined_are_the_text_as_it_stands(text):
    joined = text_of(parse(text, weighting=False))
    assert joined == (text if text.strip() else "")


# ------------------------------------------------------------------------------------------------ several prompts


def test_a_blend_has_prompts_and_their_weights():
    parsed = parse('("a (red)1.5 cat", "a dog, asleep").blend(0.7, 0.3)', weighting=True)
    assert parsed.join == "blend"
    assert parsed.normalize
    assert parsed.prompts == ((Passage("a "), Passage("red", 1.5), Passage(" cat")), (Passage("a dog, asleep"),))
    assert parsed.weights == (0.7, 0.3)
    assert "blended" in parsed.notes[0]


def test_a_blend_without_weights_weighs_all_the_same():
    assert parse('("a", "b", c).blend()', weighting=True).weights == (1, 1, 1)


def test_a_blend_may_be_left_unnormalized():
    parsed = parse('("a", "b").blend(1, -0.5, no_normalize)', weighting=True)
    assert (parsed.weights, parsed.normalize) == ((1, -0.5), False)


def test_a_conjunction_has_prompts_in_quotes_brackets_or_bare():
    parsed = parse(' ("a cat", (a dog), bird++).and(1, 2, 0.5) ', weighting=True)
    assert parsed.join == "and"
    assert parsed.prompts[:2] == ((Passage("a cat"),), (Passage("a dog"),))
    assert parsed.prompts[2] == (Passage("bird", pytest.approx(1.21)),)
    assert parsed.weights == (1, 2, 0.5)


def test_words_of_several_prompts_do_not_run_together():
    assert text_of(parse('("a cat", "a cat").and()', weighting=True)) == "a cat a cat"


@pytest.mark.parametrize("prompt", BROKEN)
def test_what_is_clearly_meant_and_cannot_be_read_is_refused_in_one_line_with_the_remedy(prompt):
    with pytest.raises(PromptError) as refused:
        parse(prompt, weighting=True)
    assert "turn prompt weighting off" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "zebra" not in str(refused.value), "errors do not quote prompts"


@pytest.mark.parametrize("weighting", [True, False])
@pytest.mark.parametrize(
    ("prompt", "remedy"), [("x" * 2001, "shorten"), ("x" * 100_000, "shorten"), ("\ud800", "remove")]
)
def test_what_cannot_be_encoded_is_refused_with_the_remedy(prompt, remedy, weighting):
    with pytest.raises(PromptError, match=remedy):
        parse(prompt, weighting)


# ---------------------------------------------------------------------------------------------- Compel as an oracle

plain_words = st.from_regex(r"[a-z]{1,5}(-[a-z]{1,3})?", fullmatch=True)
signs = st.sampled_from(["+", "++", "+++", "-", "--"])
numbers = st.sampled_from(["0", ".7", "0.5", "1.1", "1.25", "2"])


def phrases(depth: int) -> st.SearchStrategy[str]:
    items = plain_words | st.tuples(plain_words, signs).map("".join)
    if depth:
        inner = phrases(depth - 1)
        items |= st.tuples(st.just("("), inner, st.just(")"), signs | numbers).map("".join)
    return st.tuples(items, st.lists(st.tuples(st.sampled_from([" ", ", "]), items), max_size=2)).map(
        lambda parts: parts[0] + "".join(gap + item for gap, item in parts[1])
    )


quoted_items = st.tuples(st.just('"'), phrases(1), st.just('"'), signs | numbers).map("".join)
prompts = st.lists(phrases(1) | quoted_items, min_size=1, max_size=2).map(" ".join)
EXAMPLES = 30
shares = st.sampled_from(["0.5", "1", "2", "0.25"])
joined = st.lists(st.tuples(phrases(1), shares), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["blend", "and"]).map(
        lambda join: (
            "("
            + ", ".join(f'"{phrase}"' for phrase, _ in parts)
            + f").{join}("
            + ", ".join(share for _, share in parts)
            + ")"
        )
    )
)


def weighed(passages: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Every word and punctuation mark with its weight: what the tokenizer will see, however the passages are cut."""
    return [(piece, weight) for text, weight in passages for piece in re.findall(r"[\w-]+|[^\w\s]", text)]


@given(prompts | joined)
@example("(a (b (c)2 d)0.5)1.25 e")  # deeper than this Compel takes seconds
@settings(deadline=None, max_examples=EXAMPLES)
def test_weights_are_read_as_compel_reads_them(prompt):
    from compel import Compel
    from compel.prompt_parser import Blend

    oracle = Compel.parse_prompt_string(prompt)
    ours = parse(prompt, weighting=True)
    theirs, weights = oracle.prompts, oracle.weights
    if isinstance(theirs[0], Blend):
        assert ours.join == "blend"
        weights, theirs = theirs[0].weights, theirs[0].prompts
    assert list(ours.weights) == weights
    assert [weighed([(passage.text, passage.weight) for passage in each]) for each in ours.prompts] == [
        [(piece, pytest.approx(weight)) for piece, weight in weighed([(f.text, f.weight) for f in each.children])]
        for each in theirs
    ]


# ------------------------------------------------------------------------------------------------------------ time


@pytest.mark.parametrize("name", ATTACKS)
def test_no_prompt_takes_long_to_parse(name):
    assert len(ATTACKS[name]) <= 2000
    assert fastest(lambda: parse(ATTACKS[name], weighting=True)) < BOUND


def test_reading_needs_no_torch():
    loaded = "import sys, wuerst_demo.model.reading; sys.exit('torch' in sys.modules or 'compel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
