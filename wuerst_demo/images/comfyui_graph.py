"""ComfyUI's graph: a JSON object of nodes by id, each with its class and its inputs.

An input that comes from another node is a list of that node's id and the index of its output. Nodes are recognised by
their inputs rather than their classes, of which there are thousands. All steps along links are counted and bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from wuerst_demo.images.parsed_settings import ParsedSettings, parse_number, parse_sampler

MAX_NODES = 2000
"""How many nodes of a graph are looked at."""
MAX_VISITS = 10_000
"""Most inputs looked at while links are followed."""
MAX_SAMPLERS = 20
MAX_DEPTH = 60
MAX_TEXT_CHARS = 10_000
"""Longest text that is put together; a prompt is much shorter."""
_NUMBER_FIELDS = {
    "seed": ("seed", "noise_seed"),
    "prior_steps": ("steps",),
    "prior_guidance": ("cfg",),
    "width": ("width", "empty_latent_width"),
    "height": ("height", "empty_latent_height"),
}
_NUMBER_KEYS = ("value", "int", "integer", "float", "number", "Number", "Value")
"""Inputs of nodes that hold one number."""
_PIPE_KEYS = ("pipe", "basic_pipe")
"""Inputs that carry model, texts and latent at once (Easy-Use, Impact Pack)."""
_LINKED_PARTS = ("noise", "guider", "sigmas", "sdxl_tuple", *_PIPE_KEYS)
"""Inputs of a sampler that carry settings of its own in other nodes."""
_SAMPLER_KEYS = frozenset({"sampler_name", "sampler"})
_LATENT_KEYS = ("latent_image", "latent", "samples", "optional_latent")
_LATENT_LINKS = (*_LATENT_KEYS, *_PIPE_KEYS)
_RESOLUTION = re.compile(r"(\d{1,5}) x (\d{1,5})")
"""Easy-Use's choice of a size, which goes before the numbers beside it."""
_TEXT_KEY = re.compile(
    r"(?:text|string|prompt|clip_?[lg]|t5(?:xxl)?|value|str|input_string|wildcard_text)(?:_?\w{1,8})?"
)
_CONDITIONING_KEY = re.compile(r"(?:conditioning|cond)(?:_?\w{1,8})?")
_NOT_TEXT = frozenset({"clip", "model", "vae", "image", "images", "control_net", "mask", "pixels", *_LATENT_KEYS})
_SEPARATORS = ("delimiter", "separator")
_QUIET_INPUTS = frozenset({"model", "positive", "negative", *_LATENT_KEYS, *_LINKED_PARTS, "optional_vae", "vae"})


def is_graph(value: object) -> bool:
    """Whether a JSON value has ComfyUI's form."""
    return isinstance(value, dict) and any(isinstance(each, dict) and "class_type" in each for each in value.values())


def parse_comfyui_graph(value: Mapping[str, Any]) -> ParsedSettings | None:
    """Settings of a graph: those of the sampler that begins with an empty latent; None where none is found."""
    graph = _Graph(value)
    sampler = graph.find_sampler()
    if sampler is None:
        return None
    values: dict[str, object] = {}
    unread: list[str] = []
    for field, names in _NUMBER_FIELDS.items():
        number = graph.number(sampler, names)
        if isinstance(number, int | float) and not isinstance(number, bool):
            values[field] = parse_number(field, number)
        elif number is not None:
            unread.append(field)
    for field, polarity in (("prompt", "positive"), ("negative_prompt", "negative")):
        text = graph.text_of(sampler, polarity)
        values[field] = text or ""
        if text is None:
            unread.append(field)
    if not values.keys() - {"prompt", "negative_prompt"} and "prompt" in unread:
        return None
    inputs = graph.inputs(sampler)
    known = {name for names in _NUMBER_FIELDS.values() for name in names}
    if name := parse_sampler(graph.sampler_name(sampler)):
        values["sampler"] = name
        known |= _SAMPLER_KEYS
    unsupported = [name for name in inputs if name not in known and name not in _QUIET_INPUTS]
    unsupported += ["guidance"] * graph.has_distilled_guidance
    return ParsedSettings(
        values, graph.checkpoint(sampler), program="ComfyUI", unsupported=tuple(unsupported), unread=tuple(unread)
    )


class _Graph:
    """Nodes by id, and how many more may be visited."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self._nodes = dict(islice(nodes.items(), MAX_NODES))
        self._remaining = MAX_VISITS
        self.has_distilled_guidance = False

    def inputs(self, node: object) -> dict[str, Any]:
        """Inputs of the node with this id; none for anything else."""
        found = self._nodes.get(node) if isinstance(node, str) else None
        inputs = found.get("inputs") if isinstance(found, dict) else None
        return inputs if isinstance(inputs, dict) else {}

    def node_class(self, node: str) -> str:
        found = self._nodes.get(node)
        return str(found.get("class_type", ""))[:200] if isinstance(found, dict) else ""

    def find_sampler(self) -> str | None:
        """Id of the sampler that needs no other sampler's output, and begins with an empty latent."""
        samplers = [node for node in self._nodes if self._is_sampler(node)][:MAX_SAMPLERS]
        first = min(samplers, key=lambda node: self._rank(node, set(samplers)), default=None)
        self._remaining = MAX_VISITS
        return first

    def _is_sampler(self, node: str) -> bool:
        inputs = self.inputs(node)
        steps = inputs.keys() & {"steps", "sigmas"}
        texts = inputs.keys() & {"positive", "guider", "sdxl_tuple", *_PIPE_KEYS}
        named = self.node_class(node).startswith("KSampler") and bool(inputs.keys() & {"seed", "noise_seed"})
        return (bool(steps and texts) or named) and not isinstance(inputs.get("positive"), str)

    def _rank(self, node: str, samplers: set[str]) -> tuple[bool, bool]:
        before = self._ancestors(node) & samplers
        return bool(before - {node}), not self._latent_node(node)

    def _ancestors(self, node: str) -> set[str]:
        seen: set[str] = set()
        waiting = [node]
        while waiting:
            for value in self.inputs(waiting.pop()).values():
                source = _linked(value)
                if not self._visit():
                    return seen
                if source is not None and source not in seen:
                    seen.add(source)
                    waiting.append(source)
        return seen

    def _latent_node(self, sampler: str) -> str | None:
        """The node that makes the sampler's empty latent; None where it begins with an image."""
        inputs = self.inputs(sampler)
        for _ in range(MAX_DEPTH):
            source = next((each for key in _LATENT_LINKS if (each := _linked(inputs.get(key)))), None)
            if source is None or _linked(inputs.get("image_to_latent")) or not self._visit():
                return None
            inputs = self.inputs(source)
            if inputs.keys() & {"width", "empty_latent_width"} and not inputs.keys() & {
                "pixels",
                "image",
                *_LATENT_KEYS,
            }:
                return source
        return None

    def number(self, sampler: str, names: tuple[str, ...]) -> object:
        """A number of the sampler or of the nodes it takes its settings from; None if there is none, "" if unread."""
        inputs, latent = self.inputs(sampler), self._latent_node(sampler)
        if "width" in names or "height" in names:
            begins = any(key in inputs for key in _LATENT_LINKS)
            return self._follow_number(self._first(latent, names), names) if latent else "" if begins else None
        sources = [sampler, *(each for key in _LINKED_PARTS if (each := _linked(inputs.get(key))))]
        for source in sources:
            for _ in range(MAX_DEPTH):
                given = self._first(source, names)
                if given is not None:
                    return self._follow_number(given, names)
                further = _linked(self.inputs(source).get("sigmas"))
                if further is None or not self._visit():
                    break
                source = further
        return None

    def _first(self, node: str, names: tuple[str, ...]) -> object:
        inputs = self.inputs(node)
        chosen = inputs.get("resolution")
        if isinstance(chosen, str) and (size := _RESOLUTION.fullmatch(chosen)):
            inputs = {**inputs, "empty_latent_width": int(size[1]), "empty_latent_height": int(size[2])}
        return next((inputs[each] for each in names if each in inputs), None)

    def _follow_number(self, value: object, names: tuple[str, ...]) -> object:
        for _ in range(MAX_DEPTH):
            source = _linked(value)
            if source is None:
                return value if isinstance(value, int | float) else ""
            if not self._visit():
                return ""
            inputs = self.inputs(source)
            named = [inputs[key] for key in (*names, *_NUMBER_KEYS) if key in inputs]
            value = named[0] if named else next(iter(inputs.values()), "") if len(inputs) == 1 else ""
        return ""

    def sampler_name(self, sampler: str) -> object:
        """The name of the sampler's method, its own or that of the node which chooses one."""
        inputs = self.inputs(sampler)
        return inputs.get("sampler_name", self.inputs(_linked(inputs.get("sampler"))).get("sampler_name"))

    def text_of(self, sampler: str, polarity: str) -> str | None:
        """The text that a sampler's positive or negative conditioning comes from; None where it is not found."""
        self._remaining = MAX_VISITS
        inputs = self.inputs(sampler)
        if guider := _linked(inputs.get("guider")):
            inputs = self.inputs(guider)
        keys = (polarity, "conditioning") if polarity == "positive" else (polarity,)
        missing = None if polarity == "positive" else ""
        value = next((inputs[key] for key in (*keys, "sdxl_tuple", *_PIPE_KEYS) if key in inputs), missing)
        return self._text(value, polarity, ())

    def _text(self, value: object, polarity: str, path: tuple[str, ...]) -> str | None:
        source = _linked(value)
        if source is None:
            return value[: MAX_TEXT_CHARS + 1] if isinstance(value, str) else None
        if source in path or len(path) > MAX_DEPTH or not self._visit():
            return None
        inputs, name, path = self.inputs(source), self.node_class(source), (*path, source)
        self._remaining -= len(inputs)
        if "ZeroOut" in name:
            return ""
        self.has_distilled_guidance |= "guidance" in inputs
        if polarity in inputs:
            return self._text(inputs[polarity], polarity, path)
        if pipe := next((inputs[key] for key in _PIPE_KEYS if _linked(inputs.get(key))), None):
            return self._text(pipe, polarity, path)
        conditionings = [each for key, each in inputs.items() if _CONDITIONING_KEY.fullmatch(key) and _linked(each)]
        if conditionings:
            return self._join(conditionings, ", ", polarity, path)
        if isinstance(populated := inputs.get("populated_text"), str) and populated:  # wildcards as they were drawn
            return populated[: MAX_TEXT_CHARS + 1]
        other = "negative" if polarity == "positive" else "positive"
        if _linked(inputs.get("text")):  # what the node showed of it, perhaps in an earlier run
            inputs = {key: each for key, each in inputs.items() if key != "text_0"}
        texts = [each for key, each in inputs.items() if _TEXT_KEY.fullmatch(key.lower()) and other not in key.lower()]
        texts = [each for each in texts if isinstance(each, str) or _linked(each)]
        if texts:
            separator = next((inputs[key] for key in _SEPARATORS if isinstance(inputs.get(key), str)), ", ")
            return self._join(texts, separator, polarity, path)
        links = [each for key, each in inputs.items() if _linked(each) and key not in _NOT_TEXT]
        found = {text for each in links if (text := self._text(each, polarity, path)) is not None}
        return found.pop() if len(found) == 1 else None  # a switch between several is not guessed at

    def _join(self, values: list[Any], separator: str, polarity: str, path: tuple[str, ...]) -> str | None:
        """Texts joined, without empty and repeated ones; None if any is not found."""
        texts: dict[str, None] = {}
        for value in values:
            text = self._text(value, polarity, path)
            if text is None:
                return None
            texts |= {text: None} if text else {}
        return separator[:100].join(texts)[: MAX_TEXT_CHARS + 1]

    def checkpoint(self, sampler: str) -> str:
        """Name of the checkpoint that the sampler's model comes from, or of any in the graph."""
        nodes = [*self._ancestors_of_model(sampler), *self._nodes]
        names = (self.inputs(node).get(key) for node in nodes for key in ("ckpt_name", "unet_name"))
        return next((each for each in names if isinstance(each, str)), "")

    def _ancestors_of_model(self, sampler: str) -> Iterator[str]:
        source: str | None = sampler
        for _ in range(MAX_DEPTH):
            inputs = self.inputs(source)
            source = next((each for key in ("model", *_PIPE_KEYS) if (each := _linked(inputs.get(key)))), None)
            if source is None or not self._visit():
                return
            yield source

    def _visit(self) -> bool:
        self._remaining -= 1
        return self._remaining >= 0


def _linked(value: object) -> str | None:
    """Id of the node that an input comes from; None for a value."""
    linked = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)
    return value[0] if linked and isinstance(value, list) else None


def load_json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text; None for anything else."""
    try:
        value = json.loads(text, strict=False) if text.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
