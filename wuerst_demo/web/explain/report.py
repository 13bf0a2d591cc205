"""Report on one image as HTML: its three stages step by step, in texts and pictures, and their timing.

The pictures are strips of frames, of which a script (step_slider.js) shows one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from PIL import Image

from wuerst_demo.events import Result, StageLatents
from wuerst_demo.messages import Message, message
from wuerst_demo.variation import decode_image_embeddings
from wuerst_demo.web.explain import latent_images
from wuerst_demo.web.explain.latent_editor import render_latent_editor
from wuerst_demo.web.i18n.translate import translate

MAX_FRAMES = 30
"""Steps that are shown of a stage: of more, these many at even distances."""
MAX_IMAGE_SIDE_PX = 512
"""Size of the finished image in the report."""
VQGAN_SCALE_FACTOR = 4
"""Pixels on each side that the VQGAN makes of one latent position."""
TIMING_ROW_LABELS = {"text": "Reading the prompt", "prior": "Prior", "decoder": "Decoder", "vqgan": "VQGAN"}
OTHER_TIME_LABEL = "Waiting for other pictures"


QUESTIONS = {
    "prior": (
        "Where are the leaves and the windows in so few numbers?",
        "Nowhere. The prior only decides what is where, and in which colours. Each detail that fits is invented by the"
        " decoder: vary the picture at 0 on the Draw tab, and the composition stays while the details change.",
    ),
    "decoder": (
        "Everything is decided. Why does the decoder begin with noise again?",
        "Because many pictures fit one composition, and an average of them all would be blurred. The noise picks one of"
        " them: other noise gives other bark and other clouds in the same scene.",
    ),
    "vqgan": (
        "Could this last stage be left out?",
        "Then you would see the decoder's numbers, four times coarser on each side. The VQGAN knows nothing of your"
        " words. It has learned once, for all pictures, which pixels belong to four numbers; that saves the decoder 15"
        " of 16 positions.",
    ),
}
"""For each stage a question to think about, and its answer."""


def render_report(result: Result, editor: bool = True) -> str:
    """The report on a result with stages, with or without the editor of its composition. Raises ValueError for a result
    without stages."""
    stages, image = result.stages, result.image
    if stages is not None and not stages.prior and result.image_embeddings:  # the prior was skipped
        given = decode_image_embeddings(result.image_embeddings).astype(np.float32)
        stages = StageLatents((given,), stages.decoder)
    if stages is None or not stages.prior or not stages.decoder:
        raise ValueError("the result has no stages")
    prior, decoder = (latent_images.sample_indices(len(each), MAX_FRAMES) for each in (stages.prior, stages.decoder))
    return (
        f'<div class="account" data-stage="vqgan" style="--prior: {len(prior) - 1}; --decoder: {len(decoder) - 1};'
        f' --ratio: {image.width} / {image.height}">'
        f'<p class="of" translate="no">{escape(result.request.prompt) or "No prompt"}, seed {result.request.seed}</p>'
        f"{_render_compression(image, stages)}{render_slider(prior, decoder, stages)}"
        f'<div class="stages">{_render_prior(stages, prior)}{_render_decoder(stages, decoder, image)}'
        f"{_render_vqgan(image)}</div>{render_latent_editor(result) if editor else ''}"
        f"{render_timing(result.seconds, len(stages.prior), len(stages.decoder))}</div>"
    )


def step_caption(stage: str, step: int, of: int) -> Message:
    """The name of a step, from 0, of prior or decoder."""
    if stage == "decoder":
        return message("Decoder, step {step} of {of}", step=step + 1, of=of)
    return message("Prior, step {step} of {of}", step=step + 1, of=of)


def render_slider(
    prior: Sequence[int],
    decoder: Sequence[int],
    stages: StageLatents,
    caption: Callable[[str, int, int], Message] = step_caption,
) -> str:
    """A slider over all steps, with stage, caption and frame of each strip at every position."""
    last_prior, last_decoder = len(prior) - 1, len(decoder) - 1
    steps: list[tuple[str, Message, int, int]] = []
    for frame, step in enumerate(prior):
        steps.append(("prior", caption("prior", step, len(stages.prior)), frame, 0))
    for frame, step in enumerate(decoder):
        steps.append(("decoder", caption("decoder", step, len(stages.decoder)), last_prior, frame))
    steps.append(("vqgan", message("VQGAN: the finished picture"), last_prior, last_decoder))
    positions = [{"stage": stage, "frames": {"prior": c, "decoder": b}} for stage, _, c, b in steps]
    last, frames = len(steps) - 1, escape(json.dumps(positions))
    captions = [escape(translate(caption)) for _, caption, *_ in steps]
    items = "".join(f"<li>{caption}</li>" for caption in captions)
    legend = translate("At each step you see what a stage predicts as its result, with all noise removed.")
    return (
        f'<div class="scrub"><button type="button" class="play" title="{translate("Show all steps one by one.")}">'
        f"{translate('Play')}</button>"
        f'<label><span>{translate("Step")}</span><input type="range" min="0" step="1"'
        f' max="{last}" value="{last}" aria-valuetext="{captions[-1]}" data-steps="{frames}"></label>'
        f'<ol class="captions" hidden>{items}</ol><output>{captions[-1]}</output><p class="legend">{legend}</p></div>'
    )


def _render_compression(image: Image.Image, stages: StageLatents) -> str:
    depth, height, width = stages.prior[-1].shape
    text = message(
        "A picture of {pixels} numbers is composed in a space of {latent}: {side:.1f} times smaller on each side,"
        " {fewer:,.0f} times fewer numbers. Composing in so small a space is what makes Würstchen cheap to train and"
        " quick to run.",
        pixels=f"<b>{image.width} × {image.height} × 3</b>",
        latent=f"<b>{width} × {height} × {depth}</b>",
        side=image.width / width,
        fewer=image.width * image.height * 3 / (width * height * depth),
    )
    return f'<p class="compression">{translate(text)}</p>'


def _render_prior(stages: StageLatents, indices: Sequence[int]) -> str:
    steps = [stages.prior[k] for k in indices]
    depth, height, width = steps[-1].shape
    component, maps = latent_images.project_to_component(steps), latent_images.render_channel_maps(steps)
    strips = render_stage_strip("prior", component.frames, "PNG", describe_component(component))
    strips += render_stage_strip("prior", maps, "PNG", message("Its {depth} numbers, a map for each", depth=depth))
    return _render_stage(
        "prior",
        translate("Stage C"),
        _format_size(width, height, depth),
        translate("Composes the picture. Starts from noise and removes it step by step, guided by the prompt."),
        strips,
        message(
            "Above: the combination of the {depth} numbers that varies most from position to position (the first"
            " principal component, {percent} % of their variance), from dark blue to yellow. Below: each of the"
            " {depth} numbers as a map of its own, from dark blue (−{limit:.1f}) over grey (0) to yellow"
            " ({limit:.1f}).",
            depth=depth,
            percent=round(100 * component.variance_share),
            limit=latent_images.map_limit(steps[-1]),
        ),
    )


def describe_component(component: latent_images.PrincipalComponent) -> Message:
    """What a component's frames show, for those who do not see them."""
    (low_row, low_column), (high_row, high_column) = component.lowest, component.highest
    return message(
        "The prior's result as one map of its main differences. In the end it is brightest at row {high_row}, column"
        " {high_column}, and darkest at row {low_row}, column {low_column}.",
        high_row=high_row + 1,
        high_column=high_column + 1,
        low_row=low_row + 1,
        low_column=low_column + 1,
    )


def _render_decoder(stages: StageLatents, indices: Sequence[int], image: Image.Image) -> str:
    steps, alt = [stages.decoder[k] for k in indices], message("Result of the decoder")
    depth, height, width = steps[-1].shape
    full_width, full_height = image.width // VQGAN_SCALE_FACTOR, image.height // VQGAN_SCALE_FACTOR
    if (width, height) == (full_width, full_height):
        legend = message("Its {depth} numbers, in the colours that come closest to the finished picture.", depth=depth)
    else:
        legend = message(
            "Its {depth} numbers, in the colours that come closest to the finished picture, averaged to {size} here.",
            depth=depth,
            size=f"{width} × {height}",
        )
    return _render_stage(
        "decoder",
        translate("Stage B"),
        _format_size(full_width, full_height, depth),
        translate("Adds the detail. Starts from noise of its own, guided by the prior's result and by the prompt."),
        render_stage_strip("decoder", latent_images.fit_to_image(steps, image), "WEBP", alt),
        legend,
    )


def render_picture(image: Image.Image) -> str:
    """The finished picture, at most MAX_IMAGE_SIDE_PX a side."""
    small = image.convert("RGB")
    small.thumbnail((MAX_IMAGE_SIDE_PX, MAX_IMAGE_SIDE_PX))
    uri, alt = latent_images.encode_data_uri(small, "WEBP"), translate("The finished picture")
    return f'<div class="frame"><img src="{uri}" alt="{alt}"></div>'


def _render_vqgan(image: Image.Image) -> str:
    return _render_stage(
        "vqgan",
        translate("Stage A"),
        _format_size(image.width, image.height, 3),
        translate(
            message(
                "Makes pixels in one step: {scale} × {scale} for each position of the decoder.",
                scale=VQGAN_SCALE_FACTOR,
            )
        ),
        render_picture(image),
        message("The picture itself; its file is on the Draw tab."),
    )


def _format_size(width: int, height: int, depth: int) -> str:
    size = f"{width} × {height} × {depth} = {width * height * depth:,}"
    return translate(message("{size} numbers", size=size))


def _render_stage(stage: str, letter: str, size: str, text: str, images: str, legend: Message) -> str:
    return (
        f'<section class="stage {stage}"><h3>{TIMING_ROW_LABELS[stage]} <small>{letter}</small></h3>'
        f'<p class="size">{size}</p><p>{text}</p>{images}<p class="legend">{translate(legend)}</p>'
        f"{_render_question(*QUESTIONS[stage])}</section>"
    )


def _render_question(question: str, answer: str) -> str:
    return (
        f'<details class="question"><summary>{escape(translate(question))}</summary>'
        f"<p>{escape(translate(answer))}</p></details>"
    )


def render_stage_strip(
    stage: str, frames: Sequence[latent_images.PixelArray], format: latent_images.Format, alt: Message
) -> str:
    uri = latent_images.render_strip(frames, format)
    return (
        f'<div class="frame strip" style="--frames: {len(frames)}; --at: var(--{stage})">'
        f'<img src="{uri}" alt="{escape(translate(alt))}"></div>'
    )


def render_timing(seconds: Mapping[str, float], prior_steps: int, decoder_steps: int) -> str:
    """Seconds by stage, and in total, as a table with bars; "" without both."""
    total = seconds.get("total", 0.0)
    spent = {name: seconds[name] for name in TIMING_ROW_LABELS if name in seconds}
    if not total or not spent:
        return ""
    other = total - sum(spent.values())
    longest = max(*spent.values(), other)
    rows = ""
    for name, count in {**dict.fromkeys(spent, 1), "prior": prior_steps, "decoder": decoder_steps}.items():
        if name in spent:
            text: str = _format_seconds(spent[name])
            if count > 1:
                each = _format_seconds(spent[name] / count)
                text = message("{time}, {count} steps of {each}", time=text, count=count, each=each)
            rows += _render_bar(TIMING_ROW_LABELS[name], spent[name] / longest, text)
    if other > 0.005 * total:
        rows += _render_bar(OTHER_TIME_LABEL, other / longest, _format_seconds(other))
    legend = message("{time} in total. A step shared with other pictures counts in full.", time=_format_seconds(total))
    return (
        f'<section class="times"><h3>{translate("Timing")}</h3><table><tbody>{rows}</tbody></table>'
        f'<p class="legend">{translate(legend)}</p></section>'
    )


def _render_bar(label: str, share: float, text: str) -> str:
    return (
        f'<tr><th scope="row">{escape(translate(label))}</th><td><svg viewBox="0 0 100 8" preserveAspectRatio="none"'
        f' aria-hidden="true"><rect width="{100 * share:.2f}" height="8"></rect></svg></td>'
        f"<td>{escape(translate(text))}</td></tr>"
    )


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
