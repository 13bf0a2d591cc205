"""Small helps around asking: a surprise, styles, shapes, a seed thrown like a die, the usual settings again, and how
long it will take. Each is laid and wired by one function, in the current Gradio context.

What only moves values about happens in the browser. Does not know how a drawing is made or shown.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from wuerst_demo.errors import WuerstError
from wuerst_demo.request import SEEDS, Limits
from wuerst_demo.ui import show
from wuerst_demo.ui.controls import OWN, Controls
from wuerst_demo.ui.drawing import Picture
from wuerst_demo.ui.look import ASSETS
from wuerst_demo.ui.sizes import shapes
from wuerst_demo.ui.studio import Studio
from wuerst_demo.ui.styles import styled, styles

# ---------------------------------------------------------------------------------------------------- handlers


def another(examples: Sequence[str], choose: Callable[[Sequence[str]], str] = random.choice) -> Callable[[object], str]:
    """One of the examples, another than the prompt is now."""
    return lambda prompt: choose([each for each in examples if each != prompt] or examples)


def dressed(prompt: object, words: object) -> tuple[object, str]:
    """The prompt with the words of a style, and nothing chosen any more, so that the next one can be."""
    known = isinstance(prompt, str) and isinstance(words, str) and words
    return (styled(str(prompt), str(words)) if known else prompt), ""


def same_seed(newest: Sequence[Picture] | None) -> tuple[Any, Any]:
    """The seed of the first of the newest pictures, held; where there is none, all stays as it is."""
    return (newest[0].request.seed, False) if newest else (gr.skip(), gr.skip())


def expecting(studio: Studio) -> Callable[..., str]:
    """How long the settings would take if they were drawn now. Says nothing where that is not known."""

    def expect(**values: object) -> str:
        try:
            request = studio.limits.request(values)
        except WuerstError:  # said when it is drawn
            return ""
        others = sum(studio.engine.standing.values())
        return show.expected(studio.engine.estimate(request), others)

    return expect


# -------------------------------------------------------------------------------------------- layout and wiring


def lay_prompt_aids(studio: Studio, prompt: Component) -> None:
    """A surprise and the styles, each where there is one."""
    dresses = styles(ASSETS / "styles.toml", studio.knows)
    with gr.Row(elem_id="aids"):
        if studio.examples:
            surprise = gr.Button("Surprise me", elem_id="surprise", size="sm", scale=0)
            surprise.click(another(studio.examples), [prompt], [prompt], queue=False, **OWN)
        if dresses:
            choices = [(f"{each.name}: {each.words}", each.words) for each in dresses]
            style = gr.Dropdown(
                [("Add a style", ""), *choices],
                value="",
                label="Add a style",
                show_label=False,
                container=False,
                elem_id="style",
                min_width=120,
            )
            style.input(dressed, [prompt, style], [prompt, style], queue=False, **OWN)


def lay_shapes(limits: Limits, controls: Controls) -> None:
    """A button for each proportion, above the exact sizes, and one that turns the picture."""
    offered = shapes(limits)
    if not offered:
        return
    sides = [controls["width"], controls["height"]]
    with gr.Row(elem_id="shapes"):
        for size in offered:
            button = gr.Button(size.name, size="sm", min_width=44, elem_id=f"shape-{size.name.replace(':', '-')}")
            button.click(None, None, sides, js=f"() => [{size.width}, {size.height}]", **OWN)
        swap = gr.Button("Swap", size="sm", min_width=60, elem_id="swap")
        swap.click(None, sides, sides, js="(width, height) => [height, width]", **OWN)


def lay_seed_aids(seed: Component, new_seed: Component, newest: gr.State) -> None:
    """A die, which throws a seed and holds it, and the seed of the newest pictures again."""
    with gr.Row(elem_id="seeds"):
        die = gr.Button("Roll the dice", size="sm", min_width=90, elem_id="dice")
        die.click(None, None, [seed, new_seed], js=f"() => [Math.floor(Math.random() * {SEEDS}), false]", **OWN)
        again = gr.Button("Reuse the last", size="sm", min_width=90, elem_id="reuse")
        again.click(same_seed, [newest], [seed, new_seed], queue=False, **OWN)


def lay_defaults(limits: Limits, controls: Controls, names: Sequence[str]) -> None:
    """One button that sets these fields to the checkpoint's defaults."""
    usual: Mapping[str, Any] = {name: limits.descriptions[name].default for name in names}
    button = gr.Button("Back to the usual", size="sm", elem_id="defaults")
    button.click(lambda: tuple(usual.values()), None, [controls[name] for name in names], queue=False, **OWN)
