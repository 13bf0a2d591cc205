"""The account of one picture: its three stages, in words and maps, step by step, and where the time went. HTML.

The maps are strips of frames within the page, of which assets/steps.js shows one at a time.

Does not know Gradio, or how the steps were come by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image

from wuerst_demo.events import Result, Stages
from wuerst_demo.ui import maps

FRAMES = 30
"""Steps of one stage that are shown, at most; of more, these many evenly apart."""
LONGEST = 512
"""Pixels on the longer side of the picture as it is shown here; the file itself is under Draw."""
PIXELS = 4
"""How many pixels a side the VQGAN makes of each of the decoder's positions."""
NAMES = {"text": "Reading the prompt", "prior": "Prior", "decoder": "Decoder", "vqgan": "VQGAN"}
REST = "Waiting and others' turns"


def account(result: Result) -> str:
    """The account of a result that has its stages. ValueError for one that has none."""
    stages, picture = result.stages, result.picture
    if stages is None or not stages.prior or not stages.decoder:
        raise ValueError("the result has no stages")
    prior, decoder = (maps.chosen(len(each), FRAMES) for each in (stages.prior, stages.decoder))
    steps = _steps(prior, decoder, stages)
    _, high, wide = stages.prior[-1].shape
    return (
        f'<div class="account" data-stage="vqgan" style="--prior: {len(prior) - 1}; --decoder: {len(decoder) - 1};'
        f' --ratio: {picture.width} / {picture.height}">'
        f'<p class="of" translate="no">{escape(result.request.prompt) or "No prompt"}, seed {result.request.seed}</p>'
        f"{_compression(picture, wide, high, len(stages.prior[-1]))}{_slider(steps)}"
        f'<div class="stages">{_prior(stages, prior)}{_decoder(stages, decoder, picture)}{_vqgan(picture)}</div>'
        f"{times(result.seconds, len(stages.prior), len(stages.decoder))}</div>"
    )


def _steps(prior: Sequence[int], decoder: Sequence[int], stages: Stages) -> list[dict[str, object]]:
    """For every place of the slider: the stage, what is said, and the frame of each strip. What is said stands on the
    page as text, one item a place, of which the script puts one where it is seen and heard."""
    steps: list[dict[str, object]] = []
    for frame, step in enumerate(prior):
        said = f"Prior, step {step + 1} of {len(stages.prior)}"
        steps.append({"stage": "prior", "said": said, "frames": {"prior": frame, "decoder": 0}})
    for frame, step in enumerate(decoder):
        said = f"Decoder, step {step + 1} of {len(stages.decoder)}"
        steps.append({"stage": "decoder", "said": said, "frames": {"prior": len(prior) - 1, "decoder": frame}})
    last = {"prior": len(prior) - 1, "decoder": len(decoder) - 1}
    return [*steps, {"stage": "vqgan", "said": "VQGAN: the finished picture", "frames": last}]


def _slider(steps: Sequence[Mapping[str, object]]) -> str:
    last = len(steps) - 1
    said = escape(str(steps[-1]["said"]))
    frames = escape(json.dumps([{"stage": each["stage"], "frames": each["frames"]} for each in steps]))
    sayings = "".join(f"<li>{escape(str(each['said']))}</li>" for each in steps)
    return (
        '<div class="scrub"><button type="button" class="play" title="Show all steps, one after the other.">Play'
        '</button><label><span>Step</span><input type="range" min="0" step="1"'
        f' max="{last}" value="{last}" aria-valuetext="{said}" data-steps="{frames}"></label>'
        f'<ol class="sayings" hidden>{sayings}</ol><output>{said}</output><p class="legend">At each step you see what a'
        " stage expects its result to be, with all noise taken away.</p></div>"
    )


def _compression(picture: Image.Image, wide: int, high: int, deep: int) -> str:
    pixels, numbers = picture.width * picture.height * 3, wide * high * deep
    return (
        f'<p class="compression">A picture of <b>{picture.width} × {picture.height} × 3</b> numbers is composed in a'
        f" space of <b>{wide} × {high} × {deep}</b>: {picture.width / wide:.1f} times smaller on each side,"
        f" {pixels / numbers:,.0f} times fewer numbers. Composing in so small a space is what makes Würstchen cheap to"
        " train and quick to run.</p>"
    )


def _prior(stages: Stages, chosen: Sequence[int]) -> str:
    steps = [stages.prior[k] for k in chosen]
    deep, high, wide = steps[-1].shape
    colors = _strip(
        "prior", maps.strip(maps.composed(steps), "PNG"), len(steps), "What the prior has composed, colours"
    )
    planes = _strip("prior", maps.strip(maps.channels(steps), "PNG"), len(steps), f"Its {deep} numbers, a map for each")
    return _stage(
        "prior",
        "Prior",
        "Stage C",
        _size(wide, high, deep),
        "It composes. It begins with noise and takes it away step by step, led by the prompt.",
        colors + planes,
        f"Above: where its {deep} numbers differ, the colour differs. Below: each of the {deep} numbers as a map of its"
        " own, red above zero and blue below.",
    )


def _decoder(stages: Stages, chosen: Sequence[int], picture: Image.Image) -> str:
    steps = [stages.decoder[k] for k in chosen]
    deep, high, wide = steps[-1].shape
    true = (picture.width // PIXELS, picture.height // PIXELS)
    fewer = "" if (wide, high) == true else f", averaged to {wide} × {high} here"
    colors = _strip(
        "decoder", maps.strip(maps.developed(steps, picture), "WEBP"), len(steps), "What the decoder has drawn"
    )
    return _stage(
        "decoder",
        "Decoder",
        "Stage B",
        _size(*true, deep),
        "It draws the detail. It begins with noise of its own, led by what the prior composed and by the prompt.",
        colors,
        f"Its {deep} numbers are shown in the colours that come closest to the finished picture{fewer}.",
    )


def _vqgan(picture: Image.Image) -> str:
    small = picture.convert("RGB")
    small.thumbnail((LONGEST, LONGEST))
    shown = f'<div class="frame"><img src="{maps.encoded(small, "WEBP")}" alt="The finished picture"></div>'
    return _stage(
        "vqgan",
        "VQGAN",
        "Stage A",
        _size(picture.width, picture.height, 3),
        f"It makes pixels, in a single step: {PIXELS} × {PIXELS} of them for each position of the decoder's.",
        shown,
        "The picture itself; its file is under Draw.",
    )


def _size(wide: int, high: int, deep: int) -> str:
    return f"{wide} × {high} × {deep} = {wide * high * deep:,} numbers"


def _stage(name: str, title: str, letter: str, size: str, does: str, shown: str, legend: str) -> str:
    return (
        f'<section class="stage {name}"><h3>{title} <small>{letter}</small></h3><p class="size">{size}</p>'
        f'<p>{does}</p>{shown}<p class="legend">{legend}</p></section>'
    )


def _strip(name: str, uri: str, frames: int, alt: str) -> str:
    return (
        f'<div class="frame strip" style="--frames: {frames}; --at: var(--{name})">'
        f'<img src="{uri}" alt="{escape(alt)}"></div>'
    )


def times(seconds: Mapping[str, float], prior: int, decoder: int) -> str:
    """Where the time went, as a table with bars; `prior` and `decoder` are their numbers of steps."""
    total = seconds.get("total", 0.0)
    spent = {name: seconds[name] for name in NAMES if name in seconds}
    if not total or not spent:
        return ""
    longest = max(*spent.values(), total - sum(spent.values()))
    rows = ""
    for name, count in {**dict.fromkeys(spent, 1), "prior": prior, "decoder": decoder}.items():
        if name in spent:
            each = f", {count} steps of {_brief(spent[name] / count)}" if count > 1 else ""
            rows += _bar(NAMES[name], spent[name], longest, f"{_brief(spent[name])}{each}")
    if (rest := total - sum(spent.values())) > 0.005 * total:
        rows += _bar(REST, rest, longest, _brief(rest))
    return (
        f'<section class="times"><h3>Where the time went</h3><table><tbody>{rows}</tbody></table>'
        f'<p class="legend">{_brief(total)} in all. A step that was shared with other pictures counts in full.</p>'
        "</section>"
    )


def _bar(label: str, seconds: float, longest: float, said: str) -> str:
    width = 100 * seconds / longest
    return (
        f'<tr><th scope="row">{escape(label)}</th><td><svg viewBox="0 0 100 8" preserveAspectRatio="none"'
        f' aria-hidden="true"><rect width="{width:.2f}" height="8"></rect></svg></td><td>{escape(said)}</td></tr>'
    )


def _brief(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
