"""`parameters`: the settings line is found wherever it is, and the work is linear in the text."""

import re

import pytest

from wuerst_demo import __version__
from wuerst_demo.images import a1111_parameters
from wuerst_demo.images.a1111_parameters import (
    MAX_PAIRS,
    MAX_PARAMETERS_CHARS,
    format_parameters,
    parse_parameters,
)
from wuerst_demo.request import Limits

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Model: mix"
VALUES = {"prior_steps": 20, "prior_guidance": 7, "seed": 5, "width": 512, "height": 768}
BARN = {"prompt": "a barn", "negative_prompt": "fog"}


@pytest.mark.parametrize(
    ("text", "unsupported"),
    [
        (f"a barn\nNegative prompt: fog\n{LINE}\nTemplate: a b\nsomething else", ("Template", "something else")),
        (f'a barn\nNegative prompt: fog\n{LINE}, Note: "one\nSteps: 3, Seed: 9\ntwo"', ("Note",)),
        (f'a barn\nNegative prompt: fog\n{LINE}, Hashes: {{"a": "x, Seed: 9", "b": [1, 2]}}', ("Hashes",)),
        (f"a barn\nNegative prompt: fog\n{LINE}, Lora: [\n  1,\n  2\n], Eta: 1", ("Lora", "Eta")),
        (f"a barn\nNegative prompt: fog\n{LINE}, Styles: Photo, Noir, ADM: (1, 2), Eta: 1", ("Styles", "ADM", "Eta")),
        (f"a barn\nNegative prompt: fog\n{LINE.replace(', ', ' | ')}", ()),
        (f"a barn Negative prompt: fog {LINE}", ()),
        (f'a barn\nNegative prompt: fog\n{LINE}, Odd: "unclosed, Eta: 1', ("Odd", "Eta")),
        (f"a barn\nNegative prompt: fog\n{LINE}, Odd: {{unclosed, Eta: 1", ("Odd", "Eta")),
        (f'a barn\nNegative prompt: fog\n{LINE}, Odd: "a" b, Eta: 1', ("Odd", "Eta")),
        ("a barn\nNegative prompt: fog\n" + LINE.replace("Steps: 20, ", "") + ", Steps: 20", ()),
        (f"a barn\nNegative prompt: fog\n{LINE}, Seed: 77", ()),
    ],
    ids=[
        "behind",
        "quote",
        "json",
        "lines",
        "commas",
        "bars",
        "inline",
        "open-quote",
        "open-bracket",
        "tail",
        "order",
        "twice",
    ],
)
def test_settings_never_land_in_a_prompt(text, unsupported):
    settings = parse_parameters(text)
    assert settings.values == BARN | VALUES
    assert settings.unsupported == ("Sampler", *unsupported)
    assert settings.checkpoint == "mix"


@pytest.mark.parametrize(("named", "sampler"), [("DDIM", "ddim"), ("ddim", "ddim"), ("DDPM Wuerstchen", "ddpm")])
def test_a_sampler_that_means_the_same_is_read(named, sampler):
    settings = parse_parameters("a barn\nNegative prompt: fog\n" + LINE.replace("Euler a", named))
    assert settings.values == {**BARN, **VALUES, "sampler": sampler}
    assert settings.unsupported == ()


@pytest.mark.parametrize("named", ["DDIM CFG++", "Euler a", "UniPC"])
def test_any_other_sampler_is_named(named):
    settings = parse_parameters("a barn\nNegative prompt: fog\n" + LINE.replace("Euler a", named))
    assert settings.values == {**BARN, **VALUES}
    assert settings.unsupported == ("Sampler",)


def test_a_prompt_that_looks_like_settings_stays_a_prompt():
    settings = parse_parameters(f"how to knit\nSteps: 3\nSeed: sunflower\n{LINE}")
    assert settings.values == {"prompt": "how to knit\nSteps: 3\nSeed: sunflower", "negative_prompt": "", **VALUES}


def test_a_size_that_is_none_is_not_taken():
    assert "width" not in parse_parameters("a\nSteps: 20, Size: large").values


class CountingPattern:
    """A pattern that counts the characters that it looks at."""

    def __init__(self, pattern, counts):
        self.pattern, self.counts = pattern, counts

    def _count(self, text, position, found):
        self.counts.append((found.end() if found else min(len(text), position + 80)) - position)
        return found

    def match(self, text, position=0):
        return self._count(text, position, self.pattern.match(text, position))

    def search(self, text, position=0):
        found = self.pattern.search(text, position)
        self.counts.append((found.end() if found else len(text)) - position)
        return found


PIECES = [
    " ",
    "a",
    "a:",
    'a:"',
    'a:"\\',
    "a:\\",
    'a:"\\",',
    "a: , ",
    "Steps: 1, ",
    "Steps: 1\n",
    "a: [,",
    "a: {},",
    '[{("',
]


@pytest.mark.parametrize("start", ["", "Steps: 1, Seed: 1, ", "Steps: 1, a: "])
@pytest.mark.parametrize("piece", PIECES)
def test_every_text_takes_work_in_proportion_to_its_length(piece, start, monkeypatch):
    counts = []
    for name in ("_NAME", "_QUOTED", "_BRACKET"):
        monkeypatch.setattr(a1111_parameters, name, CountingPattern(getattr(a1111_parameters, name), counts))
    separated = {each: CountingPattern(re.compile(f"[{each}\n]"), counts) for each in ",|"}
    monkeypatch.setattr(a1111_parameters, "_SEPARATED", separated)
    text = start + piece * ((MAX_PARAMETERS_CHARS - len(start)) // len(piece))
    settings = parse_parameters(text)
    assert settings.values["prompt"] in (text.strip(), "") or "\n" in text
    assert sum(counts) <= 12 * MAX_PARAMETERS_CHARS
    assert len(counts) <= 25 * MAX_PAIRS


def test_a_prompt_in_one_line_with_its_settings_keeps_its_commas():
    assert parse_parameters(f"a barn, red, {LINE}").values == {
        "prompt": "a barn, red,",
        "negative_prompt": "",
        **VALUES,
    }


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("a barn\nsteps: 3, seed: 4", 4),
        ("a barn\nsteps: 3", None),  # in small letters, one number may be part of the prompt
        ("a barn\nsteps: 3, then rest", None),
        ("a barn\nSteps: 3", 0),
        ("a barn\nSeed: 4", 4),
        ("a barn\nSeed: sunflower", None),
        ("a barn\nSeed: -4", -4),
        ("a barn\nSteps: 3, Seed: 9\nSteps: 20, Seed: 4, Size: 512x512\nSteps: 1, Seed: 1", 4),  # the most complete
        ("a barn\nSteps: 3, Seed: 9\nSteps: 20, Seed: 4", 4),  # the last of equals
        ("a barn\nSampler: Euler a, Seed: 4", 4),
        ("a barn, Steps: 20, Seed: 4", 4),
        ("a barn\nEta: 1, Seed: 4", 4),
    ],
)
def test_the_line_of_settings_is_the_most_complete_with_a_number(text, seed):
    settings = parse_parameters(text)
    if seed is None:
        assert settings.values == {"prompt": text, "negative_prompt": ""}
    else:
        assert settings.values.get("seed", 0) == seed


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("a barn\nNEGATIVE PROMPT: fog", ("a barn", "fog")),
        ("Negative prompt: fog", ("", "fog")),
        ("a barn\nNegative prompt:  fog\nand rain", ("a barn", " fog\nand rain")),
        ("a barn\nNegative prompt:", ("a barn", "")),
        ("no Negative prompt: fog", ("no Negative prompt: fog", "")),  # within a line only where breaks are lost
        (f"a barn\r\nNegative prompt: fog\r\n{LINE}", ("a barn", "fog")),
        (f"a barn\n\nNegative prompt: fog\n\n{LINE}", ("a barn\n", "fog\n")),
        (f"a barn  Negative prompt: fog  {LINE}", ("a barn", "fog")),
        (f"  a barn {LINE}", ("a barn", "")),
    ],
)
def test_the_negative_prompt_begins_at_its_name(text, prompts):
    values = parse_parameters(text).values
    assert (values["prompt"], values["negative_prompt"]) == prompts


def test_lines_behind_the_settings_are_named_up_to_a_number():
    behind = [f"line {k}" for k in range(22)]
    assert parse_parameters("\n".join(["a barn", LINE, *behind])).unsupported == ("Sampler", *behind[:20])
    assert parse_parameters(f"a barn\n{LINE}\n\n Note : 3\n\nend").unsupported == ("Sampler", "Note ", "end")


def test_pairs_are_read_up_to_a_number():
    names = [f"n{k}" for k in range(1100)]
    line = ", ".join(["Steps: 20", *(f"{name}: 1" for name in names)])
    assert parse_parameters(f"a barn\n{line}").unsupported[:999] == tuple(names[:999])
    assert "n999" not in parse_parameters(f"a barn\n{line}").unsupported[:999]


def test_the_first_model_and_the_program_with_its_version_are_named():
    settings = parse_parameters("a barn\nSteps: 2, Seed: 4, Model: mix, Model: other, Version: v1.9, App: SD.Next")
    assert (settings.checkpoint, settings.program) == ("mix", "SD.Next v1.9")
    assert parse_parameters("a barn\nSteps: 2, Version: v1.9").program == "v1.9"


@pytest.mark.parametrize(
    ("written", "model"),
    [
        (r'"a \"b\", c: d"', 'a "b", c: d'),
        ('"a\nb"', "a\nb"),
        (r'"a\x"', r'"a\x"'),
        ('"a" b', '"a" b'),
        ("[a, b]", "[a, b]"),
    ],
)
def test_a_quoted_value_is_json_and_others_are_as_they_stand(written, model):
    assert parse_parameters(f"a barn\nSteps: 2, Model: {written}, Seed: 4").checkpoint == model
    assert parse_parameters(f"a barn\nSteps: 2, Model: {written}, Seed: 4").values["seed"] == 4


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative_prompt": "fog, rain", "weighting": False},
        {"guidance_from": 0.2},
        {"guidance_to": 0.5, "prior_schedule": "linear", "sampler": "ddim"},
        {"prior_guidance": 2.5, "decoder_guidance": 1.25, "prior_steps": 7, "decoder_steps": 3},
    ],
)
def test_what_is_written_is_read_again(changes):
    given = {"prompt": "a barn, red\nby night", "seed": 2**32 - 1, "width": 384, "height": 640}
    request = Limits().request(given | changes)
    settings = parse_parameters(format_parameters(request, 'the "mix", 1'))
    assert Limits().request(settings.values) == request
    assert (settings.checkpoint, settings.unsupported) == ('the "mix", 1', ())
    assert settings.program == f"wuerst_demo {__version__}"


def test_the_interval_of_guidance_is_written_where_it_is_not_the_whole_way():
    assert "Guidance" not in format_parameters(Limits().request({"prompt": "a barn"}), "")
    part = Limits().request({"prompt": "a barn", "guidance_to": 0.5})
    assert "Guidance from: 0, Guidance to: 0.5" in format_parameters(part, "")
