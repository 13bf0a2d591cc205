"""The components that show a comparison: status, table, and the buttons that start, stop and download it."""

from __future__ import annotations

import gradio as gr
from gradio.components import Component

from wuerst_demo.web.compare.table import TABLE_TEMPLATE
from wuerst_demo.web.shared.job_tab import JobTab, create_status_line


class ComparisonSection(JobTab):
    """A part of the page that shows one comparison. Subclasses place the buttons and call `build_results`."""

    status: gr.HTML
    table: gr.HTML
    contact_sheet: gr.DownloadButton

    def build_results(self, status: str, status_id: str, table_id: str, contact_sheet_id: str) -> None:
        """Creates what shows the results in the current Gradio context, with a first `status` as HTML."""
        self.status = create_status_line(status, status_id)
        self.table = gr.HTML(html_template=TABLE_TEMPLATE, elem_id=table_id)
        self.contact_sheet = gr.DownloadButton(
            "Download as one picture", interactive=False, elem_id=contact_sheet_id, size="md"
        )

    @property
    def view_outputs(self) -> list[Component]:
        """What shows a `ComparisonView`."""
        return [self.status, self.table, self.contact_sheet, *self.buttons]
