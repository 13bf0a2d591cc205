"""Events of morphing on the Generate tab and the handlers they call. The History tab uses them, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wuerst_demo.errors import WuerstError
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.request import Limits
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.generate.morph import CANNOT_MORPH_MESSAGE, MorphChoice, choose_picture, show_first
from wuerst_demo.web.generate.variation import GENERATE_VARIATION_JS
from wuerst_demo.web.shared.event_options import IMMEDIATE_EVENT, PRIVATE_EVENT, Updates
from wuerst_demo.web.shared.generation import FinishedImage, selected_image
from wuerst_demo.web.shared.html import restore_notes


@dataclass(frozen=True)
class MorphHandlers:
    """The handlers that need the checkpoint's limits and the tab's components."""

    limits: Limits
    tab: GenerateTab

    def apply(self, choice: MorphChoice) -> Updates:
        """Shows what follows from choosing a picture."""
        filled = self.tab.fill(choice.values) if choice.values else {self.tab.morph.value: None}
        return {**filled, self.tab.morph.first: choice.first, self.tab.restored: restore_notes("", choice.notes)}

    def choose_selected(
        self, newest_images: tuple[FinishedImage, ...] | None, position: object, first: object, frames: object
    ) -> Updates:
        """Chooses the selected image of the gallery."""
        try:
            assert newest_images
            chosen = read_image_settings(selected_image(newest_images, position).path)
            return self.apply(choose_picture(first, chosen, frames, self.limits))
        except (WuerstError, AssertionError):  # its file has been deleted, or the server restarted
            return self._reject(first)

    def choose_dropped(self, dropped: object, first: object, frames: object) -> Updates:
        """Chooses the image whose file was dropped last."""
        if not isinstance(dropped, ParsedSettings):
            return self._reject(first)
        return self.apply(choose_picture(first, dropped, frames, self.limits))

    def _reject(self, first: object) -> Updates:
        tab = self.tab
        return {tab.morph.first: first, tab.morph.value: None, tab.restored: restore_notes("", (CANNOT_MORPH_MESSAGE,))}

    @property
    def outputs(self) -> list[Any]:
        """What choosing a picture changes."""
        return [*self.tab.setting_inputs, self.tab.restored]


def connect_morph(limits: Limits, tab: GenerateTab) -> None:
    """Connects the events. To be called in the page's context."""
    handlers, controls = MorphHandlers(limits, tab), tab.morph
    where = [controls.first, controls.frames]
    for button, handler, chosen in (
        (controls.button, handlers.choose_selected, [tab.newest_images, tab.selected_position]),
        (controls.dropped, handlers.choose_dropped, [tab.variation.dropped]),
    ):
        made = button.click(handler, [*chosen, *where], handlers.outputs, **IMMEDIATE_EVENT)
        made.then(None, [controls.value], None, js=GENERATE_VARIATION_JS, **PRIVATE_EVENT)
    controls.cancel.click(lambda: None, None, [controls.first], **IMMEDIATE_EVENT)
    controls.first.change(
        show_first, [controls.first], [controls.row, controls.note, controls.button], **IMMEDIATE_EVENT
    )
