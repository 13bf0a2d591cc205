"""Views of a comparison as updates of the components that show it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import gradio as gr

from wuerst_demo.errors import WuerstError
from wuerst_demo.web.compare.contact_sheet import save_contact_sheet
from wuerst_demo.web.compare.runner import ComparisonView
from wuerst_demo.web.compare.section import ComparisonSection
from wuerst_demo.web.compare.table import render_table
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.shared.event_options import Updates
from wuerst_demo.web.shared.html import status_line


@dataclass(frozen=True)
class ComparisonRenderer:
    """Renders into one section of the page."""

    context: WebContext
    section: ComparisonSection

    def render_views(self, views: Iterator[ComparisonView], reattached: bool = False) -> Iterator[Updates]:
        section, served = self.section, dict[int, Path]()
        results: object = None
        with closing(cast("Generator[ComparisonView]", views)):
            for view in views:
                updates: Updates = {section.status: status_line(view.state, view.message, view.fraction)}
                updates |= section.update_buttons(running=not view.over, enable=reattached)
                if view.grid is not None:
                    if results is None:
                        updates[section.contact_sheet] = gr.DownloadButton(interactive=False)
                    if view.results != results:
                        results = view.results
                        updates[section.table] = self._render_served_table(view, served)
                if view.over:
                    updates |= self.update_contact_sheet(view)
                yield updates

    def _render_served_table(self, view: ComparisonView, served: dict[int, Path]) -> Any:
        """The table over the copies of its files that the page serves; `served` keeps their paths, by cell number."""
        for number, path in view.files.items():
            if number not in served or not served[number].is_file():
                served[number] = Path(self.section.table.move_resource_to_block_cache(path) or "")
        results = tuple(replace(result, path=served.get(number)) for number, result in enumerate(view.results))
        return render_table(replace(view, results=results), self.context.limits)

    def update_contact_sheet(self, view: ComparisonView) -> Updates:
        """Updates that offer the contact sheet of the finished cells; none without one.

        It is made once, from the comparison's own files and next to them: those that the page serves expire.
        """
        if view.grid is None or not view.files:
            return {}
        folder = next(iter(view.files.values())).parent / f"sheet of {len(view.files)}"
        try:
            path = next(folder.glob("comparison-*.png"), None)
            path = path or save_contact_sheet(
                view.grid, view.files, folder, self.context.limits, self.context.save_image
            )
        except FileNotFoundError:  # the comparison and its files have been deleted meanwhile
            return {}
        except WuerstError as error:
            return {self.section.status: status_line("rejected", error.message)}
        return {self.section.contact_sheet: gr.DownloadButton(value=path, interactive=True)}
