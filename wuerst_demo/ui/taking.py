"""What can be done with the picture that was chosen: take its settings, draw it with another seed, copy its link.

Does not know how it was drawn, or what the tab looks like besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from wuerst_demo.ui.controls import OWN
from wuerst_demo.ui.details import details
from wuerst_demo.ui.drawing import Picture
from wuerst_demo.ui.links import link
from wuerst_demo.ui.look import ASSETS
from wuerst_demo.ui.show import came, notes
from wuerst_demo.ui.studio import Studio

if TYPE_CHECKING:
    from wuerst_demo.ui.desk import Desk

Updates = dict[Component, Any]
COPY = "Copy link"
GONE = "The server no longer knows how these pictures were drawn, but their files do: drop one of them on the page."
GENERATE = "() => { document.getElementById('generate').click(); }"
"""The script that draws by way of the button, so that nothing is drawn while that is closed."""


@dataclass(frozen=True)
class Taking:
    """`chosen` holds the number of the picture that was clicked last, from 0, and `link` what stands behind the page's
    address in the link that brings its settings back."""

    use: gr.Button
    another: gr.Button
    copy: gr.Button
    chosen: gr.State
    link: gr.Textbox

    @classmethod
    def lay(cls) -> Taking:
        # The style sheet hides it until there is a picture: shown by an answer, it now and then was not there
        # (https://github.com/gradio-app/gradio/issues/12511).
        with gr.Row(elem_id="taking"):
            use = gr.Button("Use these settings", size="sm", elem_id="use", min_width=100)
            another = gr.Button("Same with another seed", size="sm", elem_id="another", min_width=100)
            copy = gr.Button(COPY, size="sm", elem_id="copy", min_width=100)
        return cls(use, another, copy, gr.State(0), gr.Textbox(visible=False))

    @property
    def shown(self) -> list[Any]:
        """What `show` updates, besides the desk's recipe."""
        return [self.copy, self.chosen, self.link]


def show(pictures: Sequence[Picture], place: int, studio: Studio, desk: Desk) -> dict[Any, Any]:
    """Updates that show one of the pictures, the one at `place`, as the chosen one."""
    taking, picture = desk.taking, pictures[place]
    return {
        taking.copy: COPY,
        taking.chosen: place,
        taking.link: link(picture.request, studio.limits),
        desk.recipe: details(picture, place, studio),
    }


def choosing(studio: Studio, desk: Desk) -> Callable[..., dict[Any, Any]]:
    """The handler of a click on a picture."""

    def choose(event: gr.SelectData, newest: Sequence[Picture] | None) -> dict[Any, Any]:
        place = event.index
        if not newest:
            return {desk.taking.copy: COPY, desk.taking.link: "", desk.recipe: notes((GONE,))}
        if not isinstance(place, int) or not 0 <= place < len(newest):
            return {desk.taking.copy: COPY}
        return show(newest, place, studio, desk)

    return choose


def using(desk: Desk, new_seed: bool) -> Callable[..., Updates]:
    """The handler that sets the controls as they were for the chosen picture, but for the seed where a new one is
    wanted; then as many pictures as are asked for now are drawn."""

    def use(newest: Sequence[Picture] | None, chosen: object) -> Updates:
        if not newest:
            return {desk.new_seed: True} if new_seed else {desk.came: came("", (GONE,))}
        place = chosen if isinstance(chosen, int) and chosen < len(newest) else 0
        values = asdict(newest[place].request)
        if new_seed:
            values = {**values, "seed": None}
            del values["images"]
        return desk.fill(values)

    return use


def told(copied: object) -> str:
    """What the button says once the browser has tried to copy the link."""
    return "Link copied" if copied is True else "The browser forbids it"


def wire(studio: Studio, desk: Desk) -> None:
    taking, controls = desk.taking, [*desk.controls.made.values(), desk.new_seed, desk.came]
    picked: list[Any] = [desk.newest, taking.chosen]
    desk.gallery.select(choosing(studio, desk), [desk.newest], [*taking.shown, desk.recipe], queue=False, **OWN)
    taking.use.click(using(desk, new_seed=False), picked, controls, queue=False, **OWN)
    again = taking.another.click(using(desk, new_seed=True), picked, controls, queue=False, **OWN)
    again.then(None, None, None, js=GENERATE, **OWN)
    copied = (ASSETS / "copy.js").read_text(encoding="utf-8")
    taking.copy.click(told, [taking.link], [taking.copy], js=copied, queue=False, **OWN)
