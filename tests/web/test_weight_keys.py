"""Weight shortcuts of the prompt, run by node with a field of its own; the parser says what the words weigh."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.prompts.example_prompts import any_text
from wuerst_demo.errors import PromptError
from wuerst_demo.prompts.parser import parse_prompt
from wuerst_demo.web.shared.static_files import read_static

NODE = shutil.which("node")
SCRIPTS = ("prompt_syntax.js", "weight_keys.js")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node: install it to run the page's scripts without a browser")
FIELD = """
let listener;
globalThis.window = {};
const field = { maxLength: 2000, matches: () => true };
field.setSelectionRange = (from, to) => Object.assign(field, { selectionStart: from, selectionEnd: to });
globalThis.document = {
  addEventListener: (_, added) => { listener = added; },
  execCommand: (_, __, inserted) => {
    field.value = field.value.slice(0, field.selectionStart) + inserted + field.value.slice(field.selectionEnd);
  },
};
SCRIPTS
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [text, start, end, keys] = JSON.parse(line);
  if (!keys) return console.log(JSON.stringify(window.wuerstReadPrompt(text)));
  Object.assign(field, { value: text, selectionStart: start, selectionEnd: end });
  const shown = keys.map((key) => {
    listener({ target: field, ctrlKey: true, key: `Arrow${key}`, preventDefault: () => {} });
    return field.value;
  });
  console.log(JSON.stringify(shown));
});
"""


@pytest.fixture(scope="module")
def ask():
    """Sends a line to the scripts in node, and returns their answer."""
    code = FIELD.replace("SCRIPTS", "\n".join(read_static(name) for name in SCRIPTS))
    with subprocess.Popen([str(NODE), "-e", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:

        def ask_node(*values):
            node.stdin.write(json.dumps(values) + "\n")
            node.stdin.flush()
            return json.loads(node.stdout.readline())

        yield ask_node
        node.stdin.close()


@pytest.fixture(scope="module")
def press(ask):
    """Presses these keys, with Ctrl, on a selection; the prompt after each of them."""
    return lambda text, start, end, *keys: ask(text, start, end, keys)


def read_marks(marked):
    """The text and the selection of a text that marks it: "a [red] cat", or "a re|d cat" for a cursor."""
    if "|" in marked:
        return marked.replace("|", ""), marked.index("|"), marked.index("|")
    return marked.replace("⟦", "").replace("⟧", ""), marked.index("⟦"), marked.index("⟧") - 1


EXAMPLES = [
    # spaces and parts of words
    ("a ⟦red ⟧cat", "a (red)1.1 cat", "a (red)0.9 cat"),
    ("a⟦ red⟧ cat", "a (red)1.1 cat", "a (red)0.9 cat"),
    ("a r⟦ed ca⟧t", "a (red cat)1.1", "a (red cat)0.9"),
    ("a ⟦red cat, ⟧a dog", "a (red cat)1.1, a dog", "a (red cat)0.9, a dog"),
    ("a well-kn|own cat", "a (well-known)1.1 cat", "a (well-known)0.9 cat"),
    ("a red cat|", "a red (cat)1.1", "a red (cat)0.9"),
    ("at 16:9|", "at (16:9)1.1", "at (16:9)0.9"),
    ("a ⟦cat\non a⟧ mat", "a (cat\non a)1.1 mat", "a (cat\non a)0.9 mat"),
    ("a 🐈|, a 👩‍🚀", "a (🐈)1.1, a 👩‍🚀", "a (🐈)0.9, a 👩‍🚀"),
    ("ein schönes ⟦Mädchen⟧", "ein schönes (Mädchen)1.1", "ein schönes (Mädchen)0.9"),
    # weights
    ("a (⟦cat⟧)1.25", "a (cat)1.35", "a (cat)1.15"),
    ("a (cat|)1.1", "a (cat)1.2", "a cat"),
    ("a (cat)1.|1", "a (cat)1.2", "a cat"),
    ("a (cat)⟦1.1⟧ dog", "a (cat)1.2 dog", "a cat dog"),
    ("a (cat)1.1|", "a (cat)1.2", "a cat"),
    ("a (⟦cat)1.⟧1", "a (cat)1.2", "a cat"),
    ("a (ca|t)0.9", "a cat", "a (cat)0.8"),
    ("a (ca|t)2", "a (cat)2", "a (cat)1.9"),
    ("a (ca|t)1.95", "a (cat)1.95", "a (cat)1.85"),
    ("a (ca|t)5", "a (cat)5", "a (cat)4.9"),
    ("a ((ca|t)2)", "a ((cat)2)", "a ((cat)1.9)"),
    ("a (ca|t)0", "a (cat)0.1", "a (cat)0"),
    ("a (ca|t).1", "a (cat)0.2", "a (cat)0"),
    ("a cat|++", "a (cat)1.31", "a (cat)1.11"),
    ("a ca|t-", "a cat", "a (cat)0.8"),
    ("a (big| cat)++", "a ((big)1.1 cat)++", "a ((big)0.9 cat)++"),
    ("⟦a cat+⟧", "(a cat+)1.1", "(a cat+)0.9"),
    # brackets in brackets
    ("(red (c|at)1.1)1.2", "(red (cat)1.2)1.2", "(red cat)1.2"),
    ("(r|ed (cat)1.1)1.2", "((red)1.1 (cat)1.1)1.2", "((red)0.9 (cat)1.1)1.2"),
    ("(⟦red (cat⟧)1.1)1.2", "(red (cat)1.1)1.3", "(red (cat)1.1)1.1"),
    ("(red ⟦cat)1.2 a⟧ dog", "(red (cat)1.1)1.2 (a)1.1 dog", "(red (cat)0.9)1.2 (a)0.9 dog"),
    ("a ⟦dog (red⟧ cat)1.2", "a (dog)1.1 ((red)1.1 cat)1.2", "a (dog)0.9 ((red)0.9 cat)1.2"),
    ("((c|at)0.9)1.2", "(cat)1.18", "(cat)0.98"),
    ("(cat)1.2 ⟦(dog⟧)1.3", "(cat)1.2 (dog)1.4", "(cat)1.2 (dog)1.2"),
    ("(un)2(kno|wn)1.1", "(un)2(known)1.2", "(un)2 known"),
    # text that looks like syntax
    ("a (c|at)", "a ((cat)1.1)", "a ((cat)0.9)"),
    ("a ⟦(cat)⟧", "a ((cat)1.1)", "a ((cat)0.9)"),
    ("⟦a (cat)⟧", "(a (cat))1.1", "(a (cat))0.9"),
    ("(red ⟦cat) dog⟧", "(red (cat)1.1) (dog)1.1", "(red (cat)0.9) (dog)0.9"),
    ("a ca|t(s)2", "a (cat(s)2)1.1", "a (cat(s)2)0.9"),
    (r"a cat \(tab|by\)", r"a cat \((tabby)1.1\)", r"a cat \((tabby)0.9\)"),
    (r"a ⟦cat \(tabby\)⟧", r"a (cat \(tabby\))1.1", r"a (cat \(tabby\))0.9"),
    (r"a \(⟦red\) cat⟧", r"a (\(red\) cat)1.1", r"a (\(red\) cat)0.9"),
    (r"a \(big ⟦red\) cat⟧", r"a \(big (red)1.1\) (cat)1.1", r"a \(big (red)0.9\) (cat)0.9"),
    (r"a cat \(⟦tabby\⟧)", r"a cat \((tabby)1.1\)", r"a cat \((tabby)0.9\)"),
    (r"code in C\+\+|", r"code in (C\+\+)1.1", r"code in (C\+\+)0.9"),
    ('the "re|d" cat', 'the "(red)1.1" cat', 'the "(red)0.9" cat'),
    ('the ⟦"red"⟧ cat', 'the "(red)1.1" cat', 'the "(red)0.9" cat'),
    ('the ⟦"red" cat⟧', 'the ("red" cat)1.1', 'the ("red" cat)0.9'),
    ('the "big ⟦cat"1.1⟧', 'the "big (cat)1.1"1.1', 'the "big (cat)0.9"1.1'),
    ('the ⟦"big cat"⟧1.1', 'the "big cat"1.2', "the big cat"),
    ('a 5|" nail', 'a (5)1.1" nail', 'a (5)0.9" nail'),
    ("⟦I :( you⟧", "(I)1.1 :( (you)1.1", "(I)0.9 :( (you)0.9"),
    ("ca|t\\", "(cat)1.1\\", "(cat)0.9\\"),
    # nothing to weight
    ("a | cat", "a  cat", "a  cat"),
    ("a ⟦, ()⟧ cat", "a , () cat", "a , () cat"),
    ("|", "", ""),
    ("(" * 11 + "c|at", "(" * 11 + "cat", "(" * 11 + "cat"),
    ("(" * 10 + "c|at" + ")" * 10, "(" * 10 + "cat" + ")" * 10, "(" * 10 + "cat" + ")" * 10),
    # several prompts
    (
        '("a c|at", "a dog").blend(0.7, 0.3)',
        '("a (cat)1.1", "a dog").blend(0.7, 0.3)',
        '("a (cat)0.9", "a dog").blend(0.7, 0.3)',
    ),
    (
        '("⟦a cat", "a⟧ dog").blend(0.7, 0.3)',
        '("(a cat)1.1", "(a)1.1 dog").blend(0.7, 0.3)',
        '("(a cat)0.9", "(a)0.9 dog").blend(0.7, 0.3)',
    ),
    (
        '⟦("a cat", a dog).and()⟧',
        '("(a cat)1.1", (a dog)1.1).and()',
        '("(a cat)0.9", (a dog)0.9).and()',
    ),
    ('("a", "b").blend(0.|7, 0.3)', '("a", "b").blend(0.7, 0.3)', '("a", "b").blend(0.7, 0.3)'),
    ('("a, ⟦c⟧"1.1, "b").and()', '("a, (c)1.1"1.1, "b").and()', '("a, (c)0.9"1.1, "b").and()'),
    ('(⟦"a, c"⟧1.1, "b").and()', '("a, c"1.2, "b").and()', '("a, c", "b").and()'),
]


@pytest.mark.parametrize(("marked", "raised", "lowered"), EXAMPLES)
def test_keys_change_exactly_the_selected_words(press, marked, raised, lowered):
    text, start, end = read_marks(marked)
    assert press(text, start, end, "Up") == [raised]
    assert press(text, start, end, "Down") == [lowered]


def test_a_prompt_never_grows_beyond_the_longest_allowed(press):
    longest = "cat " + "x" * 1996
    assert press(longest, 0, 3, "Up") == [longest]
    assert press(longest[:-5], 0, 3, "Up") == ["(cat)1.1 " + "x" * 1991]


def test_twenty_keys_leave_a_number_of_two_digits(press):
    shown = press("a cat", 3, 3, *["Up"] * 12)
    assert shown == [f"a (cat){weight / 10:g}" for weight in range(11, 21)] + ["a (cat)2"] * 2


# --------------------------------------------------------------------------------------- the parser as an oracle


@given(any_text.filter(lambda text: "\ufeff" not in text))  # a space in JavaScript alone
@example(r'(a \(b\) "c (d)1.2 e"++ f+, 8-) (g)2nd h(i)2 (j).5.')
@example('("a, b"1.1, (c d), e++).blend(0.7, 0.2, 0.1)')
@settings(deadline=None, max_examples=300)
def test_the_script_reads_prompts_as_the_parser_does(ask, text):
    try:
        parsed = parse_prompt(text, weighting=True)
    except PromptError:
        return
    read = ask(text)
    shown = [
        (character, pytest.approx(passage.weight), number)
        for number, passages in enumerate(parsed.prompts)
        for passage in passages
        for character in utf16_units("".join(passage.text.split()))
    ]
    assert [(each["character"], each["weight"], each["prompt"]) for each in read["characters"]] == shown


def utf16_units(text):
    """The characters of a text as JavaScript counts them: halves of surrogate pairs one by one."""
    return [
        unit.decode("utf-16-le", "surrogatepass") for unit in re.findall(b"..", text.encode("utf-16-le"), re.DOTALL)
    ]


@dataclass(frozen=True)
class Written:
    """A prompt, and the weights around each of its words, outermost first."""

    text: str
    weights: tuple[tuple[float, ...], ...]


def join(parts, gap):
    return Written(gap.join(part.text for part in parts), sum((part.weights for part in parts), ()))


def enclose(brackets, inner, weight):
    factor = 1.1 ** weight.count("+") * 0.9 ** weight.count("-") if weight[0] in "+-" else float(weight)
    return Written(brackets[0] + inner.text + brackets[1] + weight, tuple((factor, *each) for each in inner.weights))


WORDS = ["a", "cat", "well-known", "Zoë", "16:9", "🐈", "猫", "1990s", r"C\+\+", "don't", "8k", "x_y"]
WEIGHTS = ["1.1", "0.9", "1.25", ".5", "2", "1", "0", "1.95", "++", "-", "+", "2.5"]
words = st.sampled_from(WORDS).map(lambda word: Written(word, ((),)))
signed_words = st.tuples(st.sampled_from(["cat", "well-known", "Zoë"]), st.sampled_from(["++", "-", "+"])).map(
    lambda parts: enclose(("", ""), Written(parts[0], ((),)), parts[1])
)
# A sign before a backslash is text, which these prompts avoid.
plain_brackets = st.sampled_from([("(", ")"), (r"\(", r" \)"), ("", ",")])


def passages(depth, quotes):
    """Strategy of passages in at most `depth` brackets; quotes cannot enclose quotes."""
    items = words | words | signed_words
    if depth:
        inner = passages(depth - 1, quotes)
        weight = st.sampled_from(WEIGHTS)
        items |= st.tuples(st.just(("(", ")")), inner, weight).map(lambda parts: enclose(*parts))
        items |= st.tuples(plain_brackets, inner).map(
            lambda parts: Written(parts[0][0] + parts[1].text + parts[0][1], parts[1].weights)
        )
        if quotes:
            unquoted = passages(depth - 1, quotes=False)
            items |= st.tuples(st.just(('"', '"')), unquoted, weight).map(lambda parts: enclose(*parts))
            items |= unquoted.map(lambda inner: Written(f'"{inner.text}"', inner.weights))
    return st.tuples(st.lists(items, min_size=1, max_size=3), st.sampled_from([" ", ", ", "\n", "  "])).map(
        lambda parts: join(*parts)
    )


def joined_prompts(parts):
    inner = join([Written(f'"{part.text}"', part.weights) for part in parts], ", ")
    return Written(f"({inner.text}).blend()", inner.weights)


written_prompts = passages(2, quotes=True) | st.lists(passages(1, quotes=False), min_size=1, max_size=3).map(
    joined_prompts
)


def number_words(written):
    """The text with a number behind each word, so that every word is found again, and the spans of the words."""
    text, spans, at = "", [], 0
    pattern = re.compile("|".join(map(re.escape, sorted(WORDS, key=len, reverse=True))))
    body = written.text.removesuffix(".blend()")
    for number, match in enumerate(pattern.finditer(body)):
        text += body[at : match.start()]
        spans.append((len(text), len(text) + len(match[0]) + len(f"w{number}w")))
        text += match[0] + f"w{number}w"
        at = match.end()
    return text + body[at:] + written.text[len(body) :], spans


def weights_by_word(text):
    """Number of a word -> its weight, and everything that is encoded, without spaces."""
    parsed = parse_prompt(text, weighting=True)
    pieces = [passage for prompt in parsed.prompts for passage in prompt]
    found = {int(number): piece.weight for piece in pieces for number in re.findall(r"w(\d+)w", piece.text)}
    return found, "".join("".join(piece.text.split()) for piece in pieces), len(parsed.prompts)


def utf16(text, at):
    """The position in UTF-16 units, as browsers count."""
    return len(text[:at].encode("utf-16-le")) // 2


def possible_steps(weights, step):
    """All changes of a word's weight that one step of one bracket around it makes, or of a new bracket."""
    ends = range(len(weights) + 1)
    others = [math.prod(weights[:i] + weights[j:]) for i in ends for j in range(i, len(weights) + 1)]
    return [step * other for other in others]


@given(written_prompts, st.data(), st.sampled_from(["Up", "Down"]))
@settings(deadline=None, max_examples=400)
def test_one_key_weighs_the_selected_words_alone_and_the_other_undoes_it(press, written, data, key):
    text, spans = number_words(written)
    start = data.draw(st.integers(0, len(text)), "start")
    end = data.draw(st.integers(start, len(text)), "end")
    selected = {number for number, (first, last) in enumerate(spans) if first < end and start < last}
    if start == end:
        selected = {number for number, (first, last) in enumerate(spans) if first <= start <= last}
    after, undone = press(text, utf16(text, start), utf16(text, end), key, "Down" if key == "Up" else "Up")
    before_weights, before_text, prompts = weights_by_word(text)
    after_weights, after_text, after_prompts = weights_by_word(after)
    assert (after_text, after_prompts) == (before_text, prompts), "no text is lost"
    assert not re.search(r"(?<!blend)\(\s*\)|[0-9]\.[0-9]{5}", after), "the prompt is readable"
    moved = {number for number, weight in after_weights.items() if abs(weight - before_weights[number]) > 1e-9}
    if after == text:
        return
    if selected:  # else the cursor is at a bracket or its weight
        assert moved <= selected
        zero = {number for number in selected if 0 in written.weights[number]}
        assert selected - moved <= zero
    step = 0.1 if key == "Up" else -0.1
    for number in moved:
        change = after_weights[number] - before_weights[number]
        assert any(abs(change - each) < 1e-3 for each in possible_steps(written.weights[number], step))
    if undone == after:  # lowered from more than the keys raise to
        assert key == "Down"
        assert max(float(weight) for weight in re.findall(r'[)"]([0-9.]*[0-9])', after)) > 1.9
        return
    undone_weights, undone_text, _ = weights_by_word(undone)
    assert undone_text == before_text
    assert undone_weights == {number: pytest.approx(weight, abs=1e-3) for number, weight in before_weights.items()}
