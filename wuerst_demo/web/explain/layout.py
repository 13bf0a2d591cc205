"""Layout of the "How it works" tab: which image, a button, and the report on its stages."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from wuerst_demo.web.compare.section import ComparisonSection
from wuerst_demo.web.explain.runner import ExplanationView
from wuerst_demo.web.i18n.translate import browser_text
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import initial_status, status_line
from wuerst_demo.web.shared.job_tab import JobTab, create_status_line
from wuerst_demo.web.shared.static_files import read_static

INTRO = (
    "Würstchen generates a picture in three stages, the first of them in a very small space. Watch them at work on one"
    " of your pictures, in the numbers that the networks computed."
)
SHOWN_STATUS = "Move the slider to see every step."
NO_IMAGES_STATUS = "No picture yet. Generate one on the Draw tab, then come back."

REPORT_SCRIPT = "".join(f"{{\n{read_static(name)}}}\n" for name in ("step_slider.js", "latent_editor.js"))
"""Each script in a scope of its own."""
WORDS_INTRO = (
    "Give another prompt, and see both pictures come about from the same noise: at which step they part, and where."
)


GUIDANCE_TEXT = (
    "Guidance says how far the prior goes beyond what it would draw without your words: each step is computed with and"
    " without them, and it goes on in the direction of the difference. At 1 there is no guidance: the prior is freer"
    " with your words. Higher, it obeys; too high, pictures turn stiff and their colours burn out. More steps correct"
    " more; at some point nothing changes any more. The sheet draws your own picture with both: guidance across, steps"
    " down, one seed."
)


class ReportTab(JobTab):
    """What shows an `ExplanationView`: a status line and a report, beside the buttons."""

    status: gr.HTML
    report: gr.HTML

    def show(self, view: ExplanationView) -> Updates:
        """Updates that show a view; a report stays until the next one."""
        buttons = self.update_buttons(running=not view.over)
        if view.report:
            return {**buttons, self.report: view.report, self.status: status_line("done", SHOWN_STATUS)}
        return {**buttons, self.status: status_line(view.state, view.message, view.fraction)}


class WordSection(ReportTab):
    """The components of "Change one word"."""

    def __init__(self) -> None:
        with gr.Accordion("Change one word", open=False, elem_id="words") as self.container:
            gr.HTML(f"<p>{browser_text(WORDS_INTRO)}</p>", elem_classes="intro")
            self.prompt = gr.Textbox(
                label="The other prompt", info="Seed and settings stay.", max_lines=4, elem_id="words-prompt"
            )
            with gr.Row(elem_classes="actions"):
                self.start = gr.Button("Show both side by side", variant="primary", elem_id="words-go")
                self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="words-stop")
            self.status = create_status_line("", "words-status")
            self.report = gr.HTML(elem_id="words-report", js_on_load=read_static("step_slider.js"))

    @property
    def view_outputs(self) -> list[Any]:
        """What shows an `ExplanationView`."""
        return [self.container, *self.buttons, self.status, self.report]


class GuidanceSection(ComparisonSection):
    """The components of "Guidance and steps": a comparison of the explained picture."""

    def __init__(self) -> None:
        with gr.Accordion("Guidance and steps", open=False, elem_id="guidance") as self.container:
            gr.HTML(f"<p>{browser_text(GUIDANCE_TEXT)}</p>", elem_classes="intro")
            with gr.Row(elem_classes="actions"):
                self.start = gr.Button("Draw the sheet of this picture", variant="primary", elem_id="guidance-go")
                self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="guidance-stop")
            self.build_results("", "guidance-status", "guidance-board", "guidance-sheet")

    @property
    def view_outputs(self) -> list[Any]:
        return [self.container, *super().view_outputs]


class ExplainTab(ReportTab):
    """The components of the tab, created in the current Gradio context, which is that of the tabs."""

    def __init__(self) -> None:
        with gr.Tab("How it works", id="explain") as self.container, gr.Column(elem_id="explain"):
            gr.HTML(f"<p>{browser_text(INTRO)}</p>", elem_classes="intro")
            with gr.Row(elem_classes="actions"):
                self.image_choice = gr.Dropdown(
                    [], label="Picture", info="One of the newest pictures.", visible=False, elem_id="explain-which"
                )
                """Position of an image among the newest ones, from 0."""
                self.start = gr.Button(
                    "Show how it was made", variant="primary", interactive=False, elem_id="explain-go"
                )
                self.stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="explain-stop")
            self.status = create_status_line(initial_status(NO_IMAGES_STATUS), "explain-status")
            self.report = gr.HTML(elem_id="account", js_on_load=REPORT_SCRIPT)
            self.reported_request = gr.State(None)
            """The request that `report` is about, or will be once the running one is done."""
            self.words = WordSection()
            self.guidance = GuidanceSection()

    @property
    def view_outputs(self) -> list[Component]:
        """What shows an `ExplanationView`."""
        return [*self.buttons, self.status, self.report, self.reported_request, self.words.prompt]
