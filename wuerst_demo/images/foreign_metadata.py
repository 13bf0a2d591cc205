"""Settings that other programs write into their images, from the texts of a file.

    parameters          A1111 and its descendants, model sites; as JSON: Fooocus, SwarmUI
    invokeai_metadata   InvokeAI; in its betas of version 3: invokeai; before: sd-metadata, before that: Dream
    prompt              ComfyUI; as text: Easy Diffusion, sd-scripts and others, which write one text for each setting
    Comment             NovelAI, Fooocus MRE
    XMP                 Draw Things
    Description         Midjourney

Settings that a request has no field for are listed in `ParsedSettings.unsupported`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from wuerst_demo.images.a1111_parameters import MAX_PARAMETERS_CHARS, parse_parameters
from wuerst_demo.images.comfyui_graph import is_graph, load_json_object, parse_comfyui_graph
from wuerst_demo.images.image_texts import GRAPH_KEYWORD, PARAMETERS_KEYWORD, XMP_KEYWORD
from wuerst_demo.images.parsed_settings import ParsedSettings, parse_number, parse_sampler, parse_size
from wuerst_demo.images.xmp import XMP_COMMENT, XMP_DESCRIPTION, xmp_text

MAX_KEYS = 300
"""Most entries of a JSON object that are read."""
Texts = Mapping[str, str]
_FIELDS = {
    "prompt": "prompt positiveprompt positive positiveconditioning",
    "negative_prompt": "negativeprompt negative negativeconditioning uc",
    "prior_steps": "steps numinferencesteps inferencesteps",
    "prior_guidance": "cfg cfgscale guidancescale scale",
    "sampler": "sampler samplername scheduler",
    "seed": "seed noiseseed",
    "width": "width",
    "height": "height",
    "size": "size resolution",
    "checkpoint": "model modelname basemodel basemodelname usestablediffusionmodel stablediffusionmodel modelweights"
    " checkpoint",
    "program": "version appversion swarmversion software",
}
_FIELD_BY_KEY = {key: field for field, keys in _FIELDS.items() for key in keys.split()}
_NOT_LETTERS = re.compile(r"[\W_]+")
_NO_VALUES: tuple[object, ...] = ("", None, "None", [], {}, False)


def parse_foreign_texts(texts: Texts) -> ParsedSettings | None:
    """The settings of the first format that is understood; None if there is none."""
    return next((settings for reader in _READERS if (settings := reader(texts)) is not None), None)


def parse_json_settings(record: Mapping[str, Any], program: str = "") -> ParsedSettings | None:
    """Settings of a flat JSON object by the names that programs commonly use; None without a prompt or a number.

    A program that has no negative prompt leaves it out, so it is always given.
    """
    values: dict[str, object] = {}
    origin: dict[str, str] = {}
    unsupported: list[str] = []
    for key, value in islice(record.items(), MAX_KEYS):
        field = _FIELD_BY_KEY.get(_letters(key))
        if field in ("checkpoint", "program"):
            name = value.get("name", value.get("model_name")) if isinstance(value, dict) else value
            if isinstance(name, str):
                origin.setdefault(str(field), name)
        elif field == "size":
            size = parse_size(value) if isinstance(value, str) else {}
            values = {**size, **values}
        elif field == "sampler" and (sampler := parse_sampler(value)):
            values.setdefault(field, sampler)
        elif field is not None and field != "sampler":
            values.setdefault(field, _field_value(field, value))
        elif value not in _NO_VALUES:
            unsupported.append(key)
    if not values.keys() - {"negative_prompt"}:
        return None
    texts = {name: values.get(name, "") for name in ("prompt", "negative_prompt")}
    unread = tuple(name for name, text in texts.items() if not isinstance(text, str))
    texts |= dict.fromkeys(unread, "")
    version = origin.get("program", "")
    program = version if program.lower() in version.lower() else f"{program} {version}".strip()
    return ParsedSettings(
        values | texts,
        origin.get("checkpoint", ""),
        program=program,
        unsupported=tuple(unsupported),
        unread=unread,
    )


def _letters(key: str) -> str:
    return _NOT_LETTERS.sub("", key[:60]).lower()


def _field_value(field: str, value: object) -> object:
    if field not in ("prompt", "negative_prompt"):
        return parse_number(field, value)
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):  # InvokeAI 2
        value = ", ".join(str(each.get("prompt", "")) for each in value)
    return "" if value is None else value


def _read_parameters(texts: Texts) -> ParsedSettings | None:
    text = texts.get(PARAMETERS_KEYWORD, "").strip()
    record = load_json_object(text)
    if record is None:
        if not text or text == "None" or len(text) > MAX_PARAMETERS_CHARS:  # A1111 writes None for a grid
            return None
        return parse_parameters(text)
    if isinstance(record.get("Comment"), str):  # NovelAI's texts in one
        return _read_comment({name: text for name, text in islice(record.items(), MAX_KEYS) if isinstance(text, str)})
    if isinstance(swarm := record.get("sui_image_params"), dict):
        return parse_json_settings(swarm, "SwarmUI")
    if isinstance(graph := record.get("prompt", record), dict):  # the form of ComfyUI's pictures on model sites
        graph = graph if is_graph(graph) else record
        extra = record.get("extraMetadata")
        if is_graph(graph):
            civitai = load_json_object(extra) if isinstance(extra, str) else None
            return parse_json_settings(civitai) if civitai else parse_comfyui_graph(graph)
    names = {key.lower() for key in islice(record, MAX_KEYS)}
    fooocus = names & {"adm_guidance", "adm guidance", "fooocus v2 expansion"}
    return parse_json_settings(record, "Fooocus" if fooocus else "")


_NODE_KEYS = frozenset({"id", "type", "is_intermediate", "app_version"})
"""What a node of InvokeAI says beside its settings."""


def _read_invokeai(texts: Texts) -> ParsedSettings | None:
    if record := load_json_object(texts.get("invokeai_metadata", "")):
        return parse_json_settings(record, "InvokeAI")
    if record := load_json_object(texts.get("invokeai", "")):
        made_by = record.get("node", record)
        made_by = made_by if isinstance(made_by, dict) else {}
        named = {key: value for key, value in islice(made_by.items(), MAX_KEYS) if key not in _NODE_KEYS}
        return parse_json_settings(named, "InvokeAI")
    if record := load_json_object(texts.get("sd-metadata", "")):
        image = record.pop("image", None)
        settings = parse_json_settings({**image, **record} if isinstance(image, dict) else record, "InvokeAI")
        return settings and _split_bracketed_negative(settings)
    return _read_dream(texts.get("Dream", ""))


_DREAM = re.compile(r'\s*"((?:[^"\\]++|\\.)*+)"(.*)', re.DOTALL)
_DREAM_FLAG = re.compile(r"-(\w)\s{0,4}([^\s-]\S{0,200})")
_DREAM_FIELDS = {"s": "prior_steps", "S": "seed", "W": "width", "H": "height", "C": "prior_guidance"}


def _read_dream(text: str) -> ParsedSettings | None:
    """The command of InvokeAI 1: `"a barn [fog]" -s 25 -S 77 -W 256 -H 256 -C 7.5 -A k_euler`."""
    command = _DREAM.match(text)
    if command is None:
        return None
    flags = {flag[1]: flag[2] for flag in islice(_DREAM_FLAG.finditer(command[2]), MAX_KEYS)}
    values: dict[str, object] = {
        field: parse_number(field, flags[flag]) for flag, field in _DREAM_FIELDS.items() if flag in flags
    }
    if sampler := parse_sampler(flags.get("A")):
        values["sampler"] = sampler
        del flags["A"]
    unsupported = tuple(f"-{flag}" for flag in flags if flag not in _DREAM_FIELDS)
    prompts = {"prompt": command[1].replace('\\"', '"'), "negative_prompt": ""}
    return _split_bracketed_negative(ParsedSettings(prompts | values, program="InvokeAI", unsupported=unsupported))


def _split_bracketed_negative(settings: ParsedSettings) -> ParsedSettings:
    """Settings of a program that writes its negative prompt in brackets into the prompt."""
    prompt = str(settings.values["prompt"])
    negative = ", ".join(re.findall(r"\[([^\[\]]{1,2000})\]", prompt))
    if not negative:
        return settings
    prompt = " ".join(re.sub(r"\[[^\[\]]{1,2000}\]", "", prompt).split())
    values = {**settings.values, "prompt": prompt, "negative_prompt": negative}
    return ParsedSettings(values, settings.checkpoint, program=settings.program, unsupported=settings.unsupported)


_EASY_DIFFUSION_KEYWORDS = frozenset({"use_stable_diffusion_model", "Stable Diffusion model"})


def _read_prompt(texts: Texts) -> ParsedSettings | None:
    text = texts.get(GRAPH_KEYWORD, texts.get("Prompt", ""))
    record = load_json_object(text)
    if record is not None:
        return parse_comfyui_graph(record) if is_graph(record) else parse_json_settings(record)
    others = [key for key in texts if _FIELD_BY_KEY.get(_letters(key)) not in (None, "prompt", "program")]
    if others and text:  # one text for each setting
        texts = {key: text for key, text in texts.items() if key not in (XMP_KEYWORD, "Description", "Comment")}
        return parse_json_settings(texts, "Easy Diffusion" if texts.keys() & _EASY_DIFFUSION_KEYWORDS else "")
    if not text.strip() or text.strip()[0] in "[{" or len(text) > MAX_PARAMETERS_CHARS:
        return None
    return parse_parameters(text)


def _read_comment(texts: Texts) -> ParsedSettings | None:
    record = load_json_object(texts.get("Comment", ""))
    if record is None:
        return None
    novelai = "NovelAI" in texts.get("Software", "") or "NovelAI" in texts.get("Source", "")
    if not novelai:
        return parse_json_settings(record)
    description = {"prompt": texts["Description"]} if "Description" in texts and "prompt" not in record else {}
    return parse_json_settings({"model": texts.get("Source"), **description, **record}, "NovelAI")


def _read_xmp(texts: Texts) -> ParsedSettings | None:
    """The settings in XMP's user comment: the JSON object of Draw Things, or a text as A1111's."""
    comment = xmp_text(texts.get(XMP_KEYWORD, ""), XMP_COMMENT)
    record = load_json_object(comment)
    if record is None:
        readable = bool(comment) and comment[0] not in "[{" and len(comment) <= MAX_PARAMETERS_CHARS
        settings = parse_parameters(comment) if readable else None
        return settings if settings and settings.values.keys() - {"prompt", "negative_prompt"} else None
    prompts = {name: record.pop(key) for name, key in (("prompt", "c"), ("negativeprompt", "uc")) if key in record}
    record.pop("v2", None)  # all settings once more
    return parse_json_settings({**record, **prompts}, "Draw Things" if prompts else "")


_MIDJOURNEY_JOB = re.compile(r"\s*Job ID: [0-9a-f-]{36}\s*$")
_MIDJOURNEY_FLAG = re.compile("(?:^|(?<=\\s))(?:--|\N{EM DASH})(?=[a-z])")
"""Phones make one dash of two."""


def _read_midjourney(texts: Texts) -> ParsedSettings | None:
    description = texts.get("Description", "") or xmp_text(texts.get(XMP_KEYWORD, ""), XMP_DESCRIPTION)
    job = _MIDJOURNEY_JOB.search(description[-200:])
    if job is None or len(description) > MAX_PARAMETERS_CHARS:
        return None
    description = description[: len(description) - (len(job.string) - job.start())]
    prompt, *flags = _MIDJOURNEY_FLAG.split(description, MAX_KEYS)
    values: dict[str, object] = {"prompt": prompt.strip(), "negative_prompt": ""}
    unsupported: list[str] = []
    for name, *given in (part.split() for part in flags if part.strip()):
        if name == "no":
            values["negative_prompt"] = ", ".join(filter(None, (str(values["negative_prompt"]), " ".join(given))))
        elif name == "seed" and given:
            values["seed"] = parse_number("seed", given[0])
        else:
            unsupported.append(f"--{name}")
    return ParsedSettings(values, program="Midjourney", unsupported=tuple(unsupported))


_READERS: tuple[Callable[[Texts], ParsedSettings | None], ...] = (
    _read_parameters,
    _read_invokeai,
    _read_prompt,
    _read_comment,
    _read_xmp,
    _read_midjourney,
)
