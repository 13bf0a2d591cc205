"""The prompt parser: weights as in Compel, all other text unchanged, in linear time."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.prompts.example_prompts import HOSTILE_PROMPTS, INVALID_PROMPTS, PLAIN_PROMPTS, any_text, count_lines
from wuerst_demo.errors import PromptError
from wuerst_demo.prompts import syntax
from wuerst_demo.prompts.parser import ParsedPrompt, Passage, parse_prompt, shorten, split_words


def parse_passages(prompt: str) -> list[tuple[str, float]]:
    """The passages of a prompt that is not joined from several, stripped."""
    (passages,) = parse_prompt(prompt, weighting=True).prompts
    return [(passage.text.strip(), passage.weight) for passage in passages]


def text_of(parsed: ParsedPrompt) -> str:
    return "".join(word.text for word in split_words(parsed))


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
    assert parse_passages(prompt) == [(text, pytest.approx(weight)) for text, weight in passages]


def test_neighboring_words_of_one_weight_are_one_passage():
    assert parse_passages("cat++ dog++ (bird)1.5 (fish)1.5") == [("cat dog", pytest.approx(1.21)), ("bird fish", 1.5)]


def test_neighboring_passages_are_joined_with_a_space():
    assert parse_passages("(un)2(known)2") == [("un known", 2)]


# ---------------------------------------------------------------------------------------------------- plain text


@pytest.mark.parametrize("text", PLAIN_PROMPTS)
def test_text_without_weights_keeps_every_character_without_notes(text):
    assert parse_prompt(text, weighting=True) == ParsedPrompt(((Passage(text),),))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("I :( you", "unmatched"),
        ("8-) cool", "unmatched"),
        ("a) b", "unmatched"),
        ("()0.5", "empty brackets"),
        ("( )++", "empty brackets"),
        ("(cat:1.3)", "other programs"),
    ],
)
def test_text_that_only_looks_like_weights_is_kept_with_a_note(text, note):
    parsed = parse_prompt(text, weighting=True)
    assert parsed.prompts == ((Passage(text),),)
    assert note in " ".join(parsed.notes)


def test_a_note_tells_how_to_escape_signs_at_the_end_of_a_word():
    parsed = parse_prompt("code in C++", weighting=True)
    assert parse_passages("code in C++") == [("code in", 1), ("C", pytest.approx(1.21))]
    (note,) = parsed.notes
    assert "'C++' as 'C' with weight 1.21" in note
    assert r"C\+\+" in note


def test_escaped_marks_are_text():
    assert parse_passages(r"code in C\+\+ \(or \"B\-\"\)") == [('code in C++ (or "B-")', 1)]


def test_a_removed_backslash_is_noted():
    assert "backslash" in " ".join(parse_prompt(r"\(^o^)/", weighting=True).notes)


def test_a_weight_of_one_is_noted():
    assert "comes to 1" in " ".join(parse_prompt("(cat)1", weighting=True).notes)


def test_without_weighting_syntax_is_text():
    text = '("a", "b").blend(1) ((((((((((((((((( (cat)1.5 dog++'
    assert parse_prompt(text, weighting=False) == ParsedPrompt(((Passage(text),),))


@given(any_text)
@settings(deadline=None)
def test_any_text_is_parsed_or_rejected_but_never_changed_silently(text):
    try:
        parsed = parse_prompt(text, weighting=True)
    except PromptError:
        return
    weighted = any(passage.weight != 1 for passages in parsed.prompts for passage in passages)
    assert parsed.notes or weighted or len(parsed.prompts) > 1 or parsed.prompts == ((Passage(text),),)
    assert all(0 <= passage.weight <= syntax.MAX_WEIGHT for passages in parsed.prompts for passage in passages)
    assert len(parsed.weights) == len(parsed.prompts)


@given(any_text)
def test_joined_words_are_the_original_text(text):
    joined = text_of(parse_prompt(text, weighting=False))
    assert joined == (text if text.strip() else "")


# ------------------------------------------------------------------------------------------------ several prompts


def test_a_blend_has_prompts_and_their_weights():
    parsed = parse_prompt('("a (red)1.5 cat", "a dog, asleep").blend(0.7, 0.3)', weighting=True)
    assert parsed.join == "blend"
    assert parsed.normalize
    assert parsed.prompts == ((Passage("a "), Passage("red", 1.5), Passage(" cat")), (Passage("a dog, asleep"),))
    assert parsed.weights == (0.7, 0.3)
    assert "blended" in parsed.notes[0]


def test_a_blend_without_weights_has_equal_weights():
    assert parse_prompt('("a", "b", c).blend()', weighting=True).weights == (1, 1, 1)


def test_a_blend_may_be_left_unnormalized():
    parsed = parse_prompt('("a", "b").blend(1, -0.5, no_normalize)', weighting=True)
    assert (parsed.weights, parsed.normalize) == ((1, -0.5), False)


def test_a_conjunction_has_prompts_in_quotes_brackets_or_bare():
    parsed = parse_prompt(' ("a cat", (a dog), bird++).and(1, 2, 0.5) ', weighting=True)
    assert parsed.join == "and"
    assert parsed.prompts[:2] == ((Passage("a cat"),), (Passage("a dog"),))
    assert parsed.prompts[2] == (Passage("bird", pytest.approx(1.21)),)
    assert parsed.weights == (1, 2, 0.5)


def test_words_of_several_prompts_do_not_run_together():
    assert text_of(parse_prompt('("a cat", "a cat").and()', weighting=True)) == "a cat a cat"


@pytest.mark.parametrize("prompt", INVALID_PROMPTS)
def test_invalid_syntax_is_rejected_in_one_line_with_a_remedy(prompt):
    with pytest.raises(PromptError) as rejected:
        parse_prompt(prompt, weighting=True)
    assert "turn prompt weighting off" in str(rejected.value)
    assert "\n" not in str(rejected.value)
    assert "zebra" not in str(rejected.value), "errors do not quote prompts"


@pytest.mark.parametrize("weighting", [True, False])
@pytest.mark.parametrize(
    ("prompt", "remedy"), [("x" * 2001, "shorten"), ("x" * 100_000, "shorten"), ("\ud800", "remove")]
)
def test_text_that_cannot_be_encoded_is_rejected_with_a_remedy(prompt, remedy, weighting):
    with pytest.raises(PromptError, match=remedy):
        parse_prompt(prompt, weighting)


@pytest.mark.parametrize(
    ("allowed", "beyond"),
    [
        ("x" * 2000, "x" * 2001),
        ("(" * 10 + "cat" + ")" * 10, "(" * 11 + "cat" + ")" * 11),
        ("(cat)10", "(cat)10.1"),
        ("((cat)5)2", "((cat)5)2.1"),
        ('("a", "b").blend(10, -9)', '("a", "b").blend(10.5, -9.5)'),
        (f"({', '.join('cat' for _ in range(16))}).and()", f"({', '.join('cat' for _ in range(17))}).and()"),
        (" ".join(f"(cat)0.{n}" for n in range(10, 34)), " ".join(f"(cat)0.{n}" for n in range(10, 35))),
    ],
    ids=["characters", "brackets", "weight", "product", "blend", "prompts", "weak passages"],
)
def test_the_largest_text_of_each_kind_is_parsed_and_the_next_is_rejected(allowed, beyond):
    assert parse_prompt(allowed, weighting=True)
    with pytest.raises(PromptError):
        parse_prompt(beyond, weighting=True)


def test_passages_that_are_not_weakened_are_not_limited():
    assert len(parse_prompt(" ".join(f"(cat)1.{n}" for n in range(10, 40)), weighting=True).prompts[0]) == 30


def test_a_note_lists_three_words_with_signs_and_counts_the_others():
    three, four = (parse_prompt(text, weighting=True).notes[0] for text in ("a+ b+ c-", "a+ b+ c- d+"))
    for note in (three, four):
        assert "'a+' as 'a' with weight 1.1, 'b+' as 'b' with weight 1.1, 'c-' as 'c' with weight 0.9" in note
    assert "more" not in three
    assert "0.9 and 1 more." in four


def test_the_note_on_several_prompts_has_their_number_and_weights():
    assert parse_prompt('("a cat").and(2)', True).notes[0] == "Read as 1 prompt, put side by side with the weight 2."
    assert parse_prompt('("a", "b", "c").blend(1, 2.5, 0.5)', True).notes[0] == (
        "Read as 3 prompts, blended with the weights 1, 2.5 and 0.5."
    )


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("(cat)1.5 _(dog)2", [("cat", 1.5), ("_(dog)2", 1)]),  # the bracket belongs to a word
        ("(cat)2(dog)3", [("cat", 2), ("dog", 3)]),  # but not to the weight before it
        ("[cat+]", [("[cat+]", 1)]),
        ("(cat+)", [("(", 1), ("cat", 1.1), (")", 1)]),
        ("a, b+,c-", [("a,", 1), ("b", 1.1), (",", 1), ("c", 0.9)]),
        ('"cat+" dog', [('"', 1), ("cat", 1.1), ('" dog', 1)]),
        ("cat +", [("cat +", 1)]),
        ("(cat)1.5%", [("(cat)1.5%", 1)]),
    ],
)
def test_a_weight_needs_a_bracket_or_a_word_of_its_own(text, passages):
    assert parse_passages(text) == [(words, pytest.approx(weight)) for words, weight in passages]


@pytest.mark.parametrize(
    ("text", "is_named"),
    [("((cat))", True), ("( (cat) )", True), ("((cat) dog)", False), ("((cat))2", False), ("((:))", False)],
)
def test_double_brackets_of_other_programs_are_named(text, is_named):
    assert any("other programs" in note for note in parse_prompt(text, weighting=True).notes) is is_named


def test_shortened_text_has_the_length_asked_for():
    assert shorten("abcde", 5) == "abcde"
    assert shorten("abcdef", 5) == "abcd…"
    assert len(shorten("a" * 99)) == 30


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


def word_weights(passages: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Every word and punctuation mark with its weight, however the text is divided into passages."""
    return [(piece, weight) for text, weight in passages for piece in re.findall(r"[\w-]+|[^\w\s]", text)]


@given(prompts | joined)
@example("(a (b (c)2 d)0.5)1.25 e")  # deeper than this Compel takes seconds
@settings(deadline=None, max_examples=EXAMPLES)
def test_weights_equal_those_of_compels_parser(prompt):
    from compel import Compel
    from compel.prompt_parser import Blend

    oracle = Compel.parse_prompt_string(prompt)
    ours = parse_prompt(prompt, weighting=True)
    theirs, weights = oracle.prompts, oracle.weights
    if isinstance(theirs[0], Blend):
        assert ours.join == "blend"
        weights, theirs = theirs[0].weights, theirs[0].prompts
    assert list(ours.weights) == weights
    assert [word_weights([(passage.text, passage.weight) for passage in each]) for each in ours.prompts] == [
        [(piece, pytest.approx(weight)) for piece, weight in word_weights([(f.text, f.weight) for f in each.children])]
        for each in theirs
    ]


# ------------------------------------------------------------------------------------------------------------ work


@pytest.mark.parametrize("name", HOSTILE_PROMPTS)
def test_work_of_parsing_grows_linearly_with_the_prompt(name):
    prompt = HOSTILE_PROMPTS[name]
    assert len(prompt) <= 2000
    assert count_lines(lambda: parse_prompt(prompt, weighting=True)) < 1_000 + 50 * len(prompt)


def test_the_parser_needs_no_torch():
    loaded = "import sys, wuerst_demo.prompts.parser; sys.exit('torch' in sys.modules or 'compel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
