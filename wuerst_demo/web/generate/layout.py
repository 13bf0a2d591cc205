"""Layout of the Generate tab: prompt on the left, images in the middle, settings on the right.

The other tabs use some of its components.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from wuerst_demo.request import SOURCE_FIELDS
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.example_pictures import list_example_requests
from wuerst_demo.web.generate.example_sheet import EXAMPLES_HINT, render_example_sheet
from wuerst_demo.web.generate.live_view import LiveView
from wuerst_demo.web.generate.morph import MorphControls
from wuerst_demo.web.generate.presets import SizePreset, list_size_presets, load_styles
from wuerst_demo.web.generate.variation import VariationControls
from wuerst_demo.web.i18n.translate import browser_text, to_german
from wuerst_demo.web.middleware.uploads import MAX_UPLOAD_BYTES, UPLOAD_TOO_LARGE
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import fold_button, idle_status, restore_notes
from wuerst_demo.web.shared.job_tab import JobTab, create_status_line
from wuerst_demo.web.shared.request_controls import RequestControls
from wuerst_demo.web.shared.static_files import STATIC_FOLDER, read_static

COPY_LINK_LABEL = "Copy link"
LIVE_HELP = (
    "The picture follows what you type and set, with few steps, and is finished when you pause. The seed is kept."
    " It waits while others do."
)


class GenerateTab(JobTab):
    """The components of the tab, created in the current Gradio context, which is that of the tabs."""

    def __init__(self, context: WebContext, live: bool = False) -> None:
        """`live`: whether there are live pictures."""
        self.controls = RequestControls(context.limits)
        """The controls of a request's fields, by field name."""
        self.variation, self.morph = VariationControls(), MorphControls()
        with gr.Tab("Draw", id="draw"), gr.Row(elem_id="desk"):
            self.newest_images = gr.State(())
            """Finished images of the newest view, as a tuple of `FinishedImage`; changes with each of them."""
            with gr.Column(elem_id="ask"):
                self._build_prompt_column(context, live)
            with gr.Column(elem_id="pictures"):
                self.live_view = LiveView() if live else None
                """None without live pictures."""
                self._build_image_column(context)
            with gr.Column(elem_id="settings"):
                self._build_settings_column(context)
                self.dropped_file = gr.File(
                    label="Settings from a picture", file_count="single", height=64, elem_id="drop"
                )
            self.owner = gr.Textbox(visible=False)
            """Secret name of the browser, which keeps it over a restart of the server."""
            self.tab = gr.Textbox(visible=False)
            """Name that the browser has given its tab."""
            self.draft = gr.Textbox(visible=False)
            """What had been set in the tab before the page was reloaded."""
            self.arrived = gr.Textbox(visible=False)
            """Settings of a page that is loaded, as JSON by field name, until they are in the controls."""

    def _build_prompt_column(self, context: WebContext, live: bool) -> None:
        examples = context.checkpoint.examples
        self.controls.add("prompt", lines=3, max_lines=8, autofocus=True, placeholder=examples[0] if examples else None)
        self.summary = gr.HTML(elem_id="summary")
        self.report = gr.Button("", elem_id="report-prompt", visible="hidden")
        """Pressed by report_prompt.js."""
        self.highlights = gr.HighlightedText(
            elem_id="spans", label="Parsed prompt", show_label=False, container=False, visible=False
        )
        self.surprise: gr.Button | None = None
        """None without example prompts."""
        self.style: gr.Dropdown | None = None
        """None without a style that suits the checkpoint."""
        styles = load_styles(STATIC_FOLDER / "style_presets.toml", context.checkpoint.vocabulary)
        with gr.Row(elem_id="aids"):
            if examples:
                self.surprise = gr.Button("Surprise me", elem_id="surprise", size="sm", scale=0)
            if styles:
                self.style = gr.Dropdown(
                    [("Add a style", ""), *((f"{each.name}: {each.words}", each.words) for each in styles)],
                    value="",
                    label="Add a style",
                    show_label=False,
                    container=False,
                    elem_id="style",
                    min_width=120,
                )
        with gr.Row(elem_id="actions"):
            self.start = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
            self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", scale=1)
            self.live_switch = gr.Checkbox(False, label="Live", info=LIVE_HELP, elem_id="live") if live else None
            """None without live pictures."""
        self.variation.build_source(self.controls)
        self.morph.build_source(self.controls)
        self.estimate = gr.HTML(elem_id="expected")
        too_large = {
            "en": restore_notes("", [UPLOAD_TOO_LARGE]),
            "de": restore_notes("", [to_german(UPLOAD_TOO_LARGE)]),
        }
        self.restored = gr.HTML(
            elem_id="came", js_on_load=read_static("drop.js"), max_file_bytes=MAX_UPLOAD_BYTES, too_large=too_large
        )
        """Where restored settings come from, and which of them could not be used."""

    def _build_image_column(self, context: WebContext) -> None:
        self.status = create_status_line(idle_status(), "status")
        self.example_requests = list_example_requests(context.checkpoint)
        self.example_pictures = [context.example_picture(each) for each in self.example_requests]
        """Those that were there when the page was built."""
        sheet = render_example_sheet(self.example_requests, context.example_picture, browser_text(EXAMPLES_HINT))
        # The style sheet hides it while there are pictures of the user's own.
        self.example_sheet = gr.HTML(sheet, elem_id="examples", js_on_load=read_static("example_sheet.js"))
        self.neighbor_sheet = gr.HTML(elem_id="neighbor-sheet", js_on_load=read_static("neighbor_sheet.js"))
        """The image in the middle and its neighbors; the style sheet hides the gallery and the tiles behind it."""
        with gr.Column(elem_id="shown"):
            # It is given file paths, not images: Gradio serves files as they are, and encodes images without their
            # text.
            self.gallery = gr.Gallery(
                elem_id="gallery",
                label="Pictures",
                show_label=False,
                object_fit="contain",
                interactive=False,
                buttons=["download", "download_all", "fullscreen"],
            )
            self.tiles = gr.HTML(elem_id="tiles")
        # The style sheet hides the buttons without an image, and an empty file list: an update that comes with
        # visible=True is now and then not shown (https://github.com/gradio-app/gradio/issues/12511).
        with gr.Row(elem_id="taking"):
            self.reuse_settings = gr.Button("Use these settings", size="sm", elem_id="use", min_width=100)
            self.generate_variation = gr.Button("Same with a new seed", size="sm", elem_id="another", min_width=100)
            self.copy_link = gr.Button(COPY_LINK_LABEL, size="sm", elem_id="copy", min_width=100)
        self.variation.build_buttons()
        with self.variation.buttons:
            self.morph.build_button()
        self.morph.build_first()
        self.selected_position = gr.State(0)
        """Position of the selected image in the gallery, from 0."""
        self.selected_link = gr.Textbox(visible=False)
        """Query string of the link that restores the selected image's settings."""
        self.files = gr.File(
            elem_id="files", label="Download", show_label=False, file_count="multiple", interactive=False
        )
        self.details = gr.HTML(elem_id="recipe")

    def _build_settings_column(self, context: WebContext) -> None:
        controls = self.controls
        with gr.Group(elem_id="size"):
            self._build_size(context)
            controls.add("images")
        with gr.Row(elem_id="folds"):
            gr.HTML(fold_button("negative-panel", "Negative prompt, weighting"))
            gr.HTML(fold_button("seed-panel", "Seed"))
        with gr.Column(elem_id="negative-panel", elem_classes="fold-panel"), gr.Group():
            controls.add("negative_prompt", lines=1, max_lines=4)
            controls.add("weighting")
        with gr.Column(elem_id="seed-panel", elem_classes="fold-panel"), gr.Group():
            controls.add("seed")
            self.new_seed = gr.Checkbox(
                True, label="New seed each time", info="Off: the seed is kept.", elem_id="new-seed"
            )
            with gr.Row(elem_id="seeds"):
                self.random_seed = gr.Button("Random seed", size="sm", min_width=90, elem_id="dice")
                self.last_seed = gr.Button("Last seed", size="sm", min_width=90, elem_id="reuse")
        with gr.Accordion("More", open=False, elem_id="more"), gr.Group():
            more = [name for name in context.limits.descriptions if name not in controls.made and controls.add(name)]
            self.reset = gr.Button("Reset to defaults", size="sm", elem_id="defaults")
        self.reset_fields = tuple(more)
        """The request's fields that `reset` sets to the checkpoint's defaults."""

    def _build_size(self, context: WebContext) -> None:
        """Shapes where there are several sizes, with exact numbers folded away; else the numbers alone."""
        self.sizes: dict[SizePreset, gr.Button] = {}
        self.swap_sides: gr.Button | None = None
        """None if the size is fixed."""
        presets = list_size_presets(context.limits)
        if presets:
            with gr.Row(elem_id="shapes"):
                for each in presets:
                    self.sizes[each] = gr.Button(each.name, size="sm", min_width=36, elem_id=each.elem_id)
            gr.HTML(fold_button("exact-size", "Exact size"), elem_id="size-fold")
        with gr.Column(elem_id="exact-size", elem_classes="fold-panel" if presets else ""):
            for name in ("width", "height"):
                self.controls.add(name)
            if presets:
                self.swap_sides = gr.Button("Swap", size="sm", min_width=60, elem_id="swap")

    def fill(self, values: Mapping[str, object]) -> Updates:
        """Updates that set the controls to `values`, by field name.

        A seed turns "new seed each time" off, and None turns it on, unless `values["new_seed"]` says otherwise.
        """
        settings = self.select_settings(values)
        return {component: settings[name] for name, component in self.settings.items() if name in settings}

    def select_settings(self, values: Mapping[str, object]) -> dict[str, object]:
        """What `fill` sets: values by the names of `settings`."""
        if values:  # without a variation and a morph it starts from noise
            values = {**dict.fromkeys(SOURCE_FIELDS), **values}
        known = {name: value for name, value in values.items() if name in self.settings and name != "new_seed"}
        if "seed" in known:
            known["new_seed"] = values.get("new_seed", known["seed"] is None)
        return known

    @property
    def settings(self) -> dict[str, Any]:
        """What a page keeps over a reload: the controls of a request by field name, `morph_first`, a picture that waits
        for another one to morph to, and `new_seed`."""
        return {**self.controls.made, "morph_first": self.morph.first, "new_seed": self.new_seed}

    @property
    def setting_inputs(self) -> list[Any]:
        """The controls of all settings, the last of them `new_seed`."""
        return [*self.settings.values()]

    @property
    def client_inputs(self) -> dict[str, Block]:
        """First inputs of an event whose handler identifies its client (see `IDENTIFY_CLIENT_JS`), by parameter."""
        return {"owner": self.owner, "tab_name": self.tab}

    @property
    def buttons(self) -> list[Component]:
        keep = [self.live_view.keep] if self.live_view else []
        return [self.start, self.generate_variation, *keep, self.stop]

    @property
    def view_outputs(self) -> list[Component]:
        """What shows a `GenerationView`."""
        shown: list[Component] = [self.status, self.gallery, self.tiles, self.files, self.details, self.newest_images]
        return [*shown, self.neighbor_sheet, *self.buttons, *self.selected_outputs]

    @property
    def selected_outputs(self) -> list[Component]:
        """What shows the selected image, besides `details`."""
        return [self.copy_link, self.selected_position, self.selected_link, self.variation.region]
