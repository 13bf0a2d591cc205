"""A comparison's views as updates of the page."""

import shutil

import gradio as gr
from PIL import Image

from tests.fakes.web import fake_context
from tests.web.compare.test_table import done, made
from wuerst_demo.web.compare import renderer
from wuerst_demo.web.compare.renderer import ComparisonRenderer
from wuerst_demo.web.compare.section import ComparisonSection


def test_the_contact_sheet_is_made_once_for_the_finished_cells(tmp_path, monkeypatch):
    with gr.Blocks():
        section = ComparisonSection()
        section.build_results("", "status", "table", "sheet")
    made_of = []
    kept = renderer.save_contact_sheet
    monkeypatch.setattr(renderer, "save_contact_sheet", lambda *given: made_of.append(len(given[1])) or kept(*given))
    files = [tmp_path / f"{k}.png" for k in range(4)]
    for path in files:
        Image.new("RGB", (256, 256)).save(path)

    def sheet(*paths):
        updates = ComparisonRenderer(fake_context(), section).update_contact_sheet(made(results=done(*paths)))
        return updates[section.contact_sheet].constructor_args["value"] if updates else None

    some, again = sheet(*files[:2], "", ""), sheet(*files[:2], "", "")
    whole = sheet(*files)
    assert some == again != whole
    assert made_of == [2, 4]
    for path in files:
        path.unlink()
    shutil.rmtree(whole.parent)
    assert sheet(*files) is None  # the comparison has been deleted meanwhile
