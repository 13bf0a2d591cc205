"""Example prompts: plain, invalid and hostile ones, strategies for any text, and a count of the work they take."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from hypothesis import strategies as st

from wuerst_demo.errors import PromptError
from wuerst_demo.prompts.parser import MAX_DOWNWEIGHTED_PASSAGES, MAX_JOINED_PROMPTS

PLAIN_PROMPTS = (
    "",
    "  ",
    "a cat on a mat",
    "Wait--what? A well-known cat - on a mat -- sits.",
    "a photo (2023), 16:9, (1.5) and (see the 2nd)",
    'the "quoted" cat and a 5" nail',
    "C++17, a++b, (the)2nd, f(x)2, (555)123-4567, (cat)50%",
    "(A)-B and (a)-(b)",
    "-5 degrees, +3, ++, --, 1-2",
    "¯\\_(ツ)_/¯",
    "cat.blend(1), and.more",
    "\\",
)


INVALID_PROMPTS = (
    '("zebra", "horse").blend(1)',
    '("zebra", "horse").blend(1, 2, 3)',
    '("zebra", "horse").blend(zebra)',
    '("zebra", "horse").blend(1, -1)',
    '("zebra", "horse").blend(0, 0)',
    f'("zebra", "horse").and(1, {"9" * 400})',
    '("zebra", "horse").and() zebra',
    'zebra ("zebra", "horse").and()',
    '("zebra", "horse").and(',
    '("zebra :)", "horse").and()',
    '(("zebra", "horse").blend(1, 1), "horse").and()',
    "zebra.swap(horse)",
    "(zebra).attend(1.5)",
    "zebra withLora(zebra, 0.5)",
    "(zebra)11",
    "((zebra)5)5",
    "zebra" + "+" * 100,
    "(" * 50 + "zebra",
    "(" * 50 + "zebra" + ")" * 50,
    "(" + '"zebra",' * MAX_JOINED_PROMPTS + '"zebra").and()',
    " ".join(f"(zebra)0.{n + 10}" for n in range(MAX_DOWNWEIGHTED_PASSAGES + 1)),
)


HOSTILE_PROMPTS = {
    "plain text": "a cat on a mat. " * 125,
    "thirteen characters": "(((((cat)))))",
    "as deep as allowed": ("(" * 10 + "cat" + ")" * 10 + " ") * 83,
    "too deep": "(" * 1000 + ")" * 1000,
    "open brackets": "(" * 2000,
    "closed brackets": ")" * 2000,
    "a run of plus": "cat" + "+" * 1997,
    "a run of minus": "cat" + "-" * 1997,
    "alternating signs": "+-" * 1000,
    "signed letters": "a+" * 1000,
    "a run of signs that is no weight": "a" + "+-" * 990 + "(",
    "weights": "(cat)1.5 " * 222,
    "many weights": "cat++ dog+ " * 181,
    "many weak words": "cat- dog-- " * 181,
    "quotes": '"' * 2000,
    "weighted quotes": '"a"++ ' * 333,
    "open quotes in brackets": '("' * 1000,
    "one word": "a" * 2000,
    "one number": "(a)" + "1" * 1997,
    "commas": "," * 2000,
    "dots": "." * 2000,
    "spaces": " " * 2000,
    "newlines": "\n" * 2000,
    "spaces before an operator": "a)" + " " * 1990 + ".blend(",
    "blends": '("a","b").blend(1,1)' * 100,
    "nested conjunctions": "(" * 10 + '"a"' + ").and()" * 283,
    "a conjunction of many": "(" + '"a",' * 490 + '"b").and()',
    "a conjunction of nothing": "(" + "," * 1990 + ").and()",
    "colons": "(a:1.2)" * 285,
    "a long colon": "(a" + ":" * 1990 + "1)",
    "escapes": "\\(" * 1000,
    "backslashes": "\\" * 2000,
    "emoji": "😀" * 2000,
    "combining marks": "a\u0301" * 1000,
}


def count_lines(work: Callable[[], object]) -> int:
    """How many lines of Python code run, in all modules: a measure of work that no machine changes."""
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(PromptError):
            work()
    finally:
        sys.settrace(before)
    return lines


printable_text = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=300)
marks_text = st.text(st.sampled_from('(()))""+-.,:\\ ab1 5'), max_size=300)
syntax_text = st.lists(
    st.sampled_from(
        ["(", ")", '"', "++", "-", ", ", " ", "cat", "C", "1.5", "0.5", ").blend(", ").and(", "\\", ".swap("]
    ),
    max_size=60,
).map("".join)
any_text = printable_text | marks_text | syntax_text
