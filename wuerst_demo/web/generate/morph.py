"""Morphing on the Generate tab: the picture that was chosen first, and the request once there is another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from wuerst_demo.errors import WuerstError
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.messages import Message, message
from wuerst_demo.request import DEFAULT_FRAMES, MAX_FRAMES, MIN_FRAMES, Limits
from wuerst_demo.web.i18n.translate import translate
from wuerst_demo.web.shared.generation import GenerationView
from wuerst_demo.web.shared.request_controls import RequestControls

CHOOSE_LABEL, MORPH_LABEL = "Morph to…", "Morph to this"
"""Of the buttons that choose a picture: the first of two, the second."""
CANNOT_MORPH_MESSAGE = "This picture's composition is not known here, so it cannot be morphed; generate it again first."
BY_PROMPT_MESSAGE = "Its prompt is set, at the size of the first picture: generate it, then morph to that."
MAX_PROMPT_CHARS = 60
"""How much of the first picture's prompt is shown."""


class MorphControls:
    """Created in the current Gradio context: `build_button` beside what varies the selected image, `build_first` under
    it, `build_source` where a dropped picture is described."""

    def build_button(self) -> None:
        self.button = gr.Button(CHOOSE_LABEL, size="sm", elem_id="morph-to", min_width=80)

    def build_first(self) -> None:
        self.first = gr.JSON(visible=False, elem_id="morph-first")
        """The picture that was chosen first, see `to_json`, or None."""
        with gr.Row(elem_id="morphing", visible=False) as self.row:
            self.note = gr.HTML(elem_id="morph-note")
            self.frames = gr.Slider(
                MIN_FRAMES, MAX_FRAMES, DEFAULT_FRAMES, step=1, label="Frames", elem_id="morph-frames", min_width=160
            )
            self.cancel = gr.Button("Cancel", size="sm", elem_id="morph-cancel", scale=0, min_width=90)

    def build_source(self, controls: RequestControls) -> None:
        self.dropped = gr.Button("Morph the dropped picture", size="sm", elem_id="morph-dropped", visible=False)
        self.value = gr.JSON(visible=False, elem_id="morph")
        """The morph as JSON holds it, or None."""
        controls.made["morph"] = self.value


@dataclass(frozen=True)
class MorphChoice:
    """What follows from choosing a picture."""

    first: dict[str, object] | None
    """The first picture from then on, see `to_json`."""
    values: Mapping[str, object]
    """Values for the controls; none to leave them as they are."""
    notes: tuple[str, ...] = ()


def choose_picture(first: object, chosen: ParsedSettings, frames: object, limits: Limits) -> MorphChoice:
    """The choice of a picture: the first of a morph, or, after `first`, the one that completes the request.

    If the two do not fit together, the controls get what generates the second one's prompt at the size of the first.
    """
    before = from_json(first)
    try:
        limits.request(chosen.morph(chosen))
    except WuerstError as error:
        return MorphChoice(to_json(before), {}, (error.message,))
    if before is None:
        return MorphChoice(to_json(chosen), {})
    try:
        request = limits.request(before.morph(chosen, parse_frames(frames)))
    except WuerstError as error:
        size = {name: before.values[name] for name in ("width", "height") if name in before.values}
        values, _ = ParsedSettings({**chosen.values, **size}).fit(limits)
        return MorphChoice(to_json(before), {**values, "seed": None}, (error.message, BY_PROMPT_MESSAGE))
    values = request.to_dict()
    del values["images"]
    return MorphChoice(None, values)


def to_json(picture: ParsedSettings | None) -> dict[str, object] | None:
    """What the page keeps of the first picture."""
    if picture is None:
        return None
    return {
        "values": {**picture.values},
        "checkpoint": picture.checkpoint,
        "image_embeddings": picture.image_embeddings,
    }


def from_json(value: object) -> ParsedSettings | None:
    """The first picture of untrusted JSON; None for anything else."""
    if not isinstance(value, Mapping):
        return None
    values, checkpoint, embeddings = (value.get(name) for name in ("values", "checkpoint", "image_embeddings"))
    if not isinstance(values, Mapping) or not isinstance(checkpoint, str) or not isinstance(embeddings, str):
        return None
    return ParsedSettings(values, checkpoint, image_embeddings=embeddings)


def is_another_prompt(morph: object, prompt: object) -> bool:
    """Whether a prompt is not that of a morph's settings: whoever types another one wants another picture."""
    first = morph.get("first") if isinstance(morph, Mapping) else None
    last = morph.get("last") if isinstance(morph, Mapping) else None
    requests = [each.get("request") for each in (first, last) if isinstance(each, Mapping)]
    return all(isinstance(each, Mapping) and each.get("prompt") != prompt for each in requests) and bool(requests)


def parse_frames(frames: object) -> int:
    """The slider's value, or the default in place of what is none."""
    if isinstance(frames, int | float) and MIN_FRAMES <= frames <= MAX_FRAMES:
        return int(frames)
    return DEFAULT_FRAMES


def show_first(first: object) -> tuple[Any, str, Any]:
    """Updates of `row`, `note` and `button` for the picture that was chosen first."""
    picture = from_json(first)
    if picture is None:
        return gr.Row(visible=False), "", gr.Button(translate(CHOOSE_LABEL))
    prompt, seed = str(picture.values.get("prompt", "")), picture.values.get("seed")
    shown = prompt if len(prompt) <= MAX_PROMPT_CHARS else prompt[: MAX_PROMPT_CHARS - 1] + "…"
    text = translate(message("Morph from seed {seed}", seed=str(seed)))
    hint = translate("Select the other picture, here or in History, or drop its file; then press Morph to this.")
    note = (
        f'<p role="status"><b>{escape(text)}</b> <span translate="no">{escape(shown)}</span></p><p>{escape(hint)}</p>'
    )
    return gr.Row(visible=True), note, gr.Button(translate(MORPH_LABEL))


def gallery_and_files(view: GenerationView) -> tuple[Any, list[str]]:
    """The value of the gallery and the paths of the files: of a morph a strip, and its animation behind the frames."""
    files = [(str(each.path), f"Seed {each.request.seed}") for each in view.shown_images]
    morph = view.request.morph if view.request else None
    if morph is None or morph.frame is not None:
        return files, [path for path, _ in files]
    files = [(str(each.path), f"{each.index + 1} / {morph.frames}") for each in view.images]
    if view.animation:
        files.append((str(view.animation), translate("Animation")))
    return gr.Gallery(files, elem_classes=["strip"]), [path for path, _ in files]


def describe_morph(morph: Mapping[str, object]) -> Message:
    """A morph as the note on what the next request goes on from says it."""
    frames, frame = morph.get("frames"), morph.get("frame")
    if isinstance(frame, int):
        return message("Frame {frame} of {frames} between two pictures.", frame=frame + 1, frames=str(frames))
    return message("Morph between two pictures in {frames} frames, with their own settings.", frames=str(frames))
