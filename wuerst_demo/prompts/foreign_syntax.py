r"""Prompt syntax of other programs (A1111, ComfyUI, NovelAI, Midjourney), which is read as text and reported.

Every pattern runs in time linear in the length of the text. A mark behind a backslash is text and not reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wuerst_demo.messages import Message, message

_NOTES = {
    "lora": message("<lora:name:0.7> is read as text; here a LoRA is an option of the program: --lora FILE:0.7."),
    "embedding": message("embedding:name is read as text; there is no textual inversion, so describe it in words."),
    "wildcard": message("__name__ is read as text; there are no wildcard files, so write the words themselves."),
    "variants": message("{a|b} is read as text here; variants of the prompt are for the Compare tab."),
    "schedule": message("[a:b:0.5] and [a|b] are read as text; prompts do not change between steps."),
    "square": message("[words] is how other programs weaken words. It is read as text; here it is (words)0.9."),
    "break": message('BREAK is read as a word; to start a new chunk write ("a cat", "a hat").and().'),
    "and": message('AND is read as a word; to combine prompts write ("a cat", "a dog").blend(0.5, 0.5).'),
    "multi": message('words::2 is read as text; here it is (words)2, or ("a cat", "a dog").blend(0.7, 0.3).'),
    "option": message("Options such as --ar 3:2 are read as text; size, seed and steps have controls of their own."),
    "negative": message("(words:-0.5) is read as text; weights are 0 or more: put the words in the negative prompt."),
    "colon": message("(words:1.3) is how other programs write a weight. It is read as text; here it is (words)1.3."),
    "curly": message(
        "Two curly brackets stress words in other programs. They are read as text; here it is (words)1.1."
    ),
    "tag": message("<name:value> is read as text; such tags of other programs have no effect here."),
    "double": message("((words)) is how other programs stress words. It is read as text; here it is (words)1.2."),
}
_NUMBER = r"(?:[0-9]++(?:\.[0-9]++)?|\.[0-9]++)"
_MINUS = "[-\N{MINUS SIGN}]"
_DASH_OPTIONS = "ar|aspect|v|version|s|stylize|c|chaos|no|niji|q|quality|seed|style|w|weird|tile|iw|stop|sref|cref|raw"
"""Options that are reported behind a dash, into which phones turn two hyphens; other words behind a dash are text."""
_PATTERN = re.compile(
    r"(?P<lora>(?i:<(?:lora|lyco|hypernet):)[^<>]*+>)"
    r"|(?P<embedding><(?i:embed|ti):[^<>]*+>|\b(?i:embedding):(?=\S))"
    r"|(?P<tag><[a-z]{3,20}:(?!//)[^<>\s][^<>]*+>)"
    r"|(?P<wildcard>(?<!\w)__[^\W_][\w/*.-]{0,60}?__(?!\w))"
    r"|(?P<variants>(?<!\\)\{[^{}|]*+\|[^{}]*+\})"
    r"|(?P<curly>(?<!\\)\{\{(?=[^{}]*+\}\})[^{}]*[^\W_])"
    r"|(?P<schedule>(?<!\\)\[[^\[\]|:]*+[|:][^\[\]]*+\])"
    r"|(?P<square>(?<!\\)\[(?:[^\w\[\]]|_)*+[^\W_][^\[\]]*+(?<!\\)\])"
    r"|(?P<break>\bBREAK\b)"
    r"|(?P<and>(?<![\w-])AND(?![\w-]))"
    rf"|(?P<multi>(?<=[^\s:])::(?=\s|\Z)|(?<!:)::(?=\s*{_MINUS}?{_NUMBER})|(?<![\w.]){_MINUS}?{_NUMBER}::(?=\S))"
    rf"|(?P<option>(?<![\w-])(?:--[A-Za-z]+|[–—](?:{_DASH_OPTIONS}))(?=[\s=:]|\Z))"
    rf"|(?P<negative>[:：]\s*{_MINUS}{_NUMBER}\s*[)）])"
    # A digit before the colon may be a ratio or a time, (16:9), unless the number behind it has a point.
    rf"|(?P<colon>(?:(?<=[^\s:：0-9])|(?<=[^\s:：0-9]\s))[:：]\s*\+?{_NUMBER}\.?\s*[)）]"
    r"|(?<=[0-9])[:：]\s*\+?[0-9]*\.[0-9]+\s*[)）])",
)


def find_foreign_syntax(text: str, double_brackets: bool) -> Iterator[Message]:
    """One note for each kind of foreign syntax in `text`. `double_brackets`: whether it has unweighted (( ))."""
    found = {match.lastgroup for match in _PATTERN.finditer(text)}
    if double_brackets:
        found.add("double")
    return (note for kind, note in _NOTES.items() if kind in found)
