"""Details of finished images, and tiles of unfinished ones."""

from dataclasses import replace

from tests.fakes.web import LIMITS, FakeReadout, FakeWord, fake_context
from wuerst_demo.checkpoints.capabilities import CheckpointInfo
from wuerst_demo.errors import PromptError
from wuerst_demo.events import Progress
from wuerst_demo.web.generate.image_html import render_image_details, render_tiles
from wuerst_demo.web.shared.generation import GenerationView, generate_views
from wuerst_demo.web.shared.progress import ProgressTracker

EVIL = "<script>alert(1)</script>"


def picture(**values):
    *_, last = generate_views(fake_context(), values, "me")
    return last.images[0]


def test_image_details_show_seed_settings_timing_and_checkpoint():
    made = replace(picture(prompt="a cat", seed=70), seconds={"text": 0.1, "prior": 2.345, "total": 3.0})
    told = render_image_details(made, 1, replace(fake_context(), revision="abc123"))
    assert "Picture 2" in told
    assert '<dd><span translate="no">a cat</span></dd>' in told
    for said in ("70", "Text 0.10 s, Prior 2.35 s, 3.00 s in total", "a checkpoint of arithmetic", "abc123"):
        assert f"<dd>{said}</dd>" in told
    assert "<dt>Pictures</dt>" not in told


def test_the_prompt_is_shown_with_weights_only_if_words_have_weights():
    assert "<mark>RED <b>× 1.5</b></mark>" in render_image_details(picture(prompt="a RED cat"), 0, fake_context())
    assert "Weighted prompt" not in render_image_details(picture(prompt="a red cat"), 0, fake_context())
    assert "Weighted prompt" not in render_image_details(
        picture(prompt="a RED cat", weighting=False), 0, fake_context()
    )


def test_markup_from_any_source_is_escaped():
    def weighted(prompt, weighting):
        return FakeReadout((FakeWord(EVIL, 1.5),), 3)

    evil = replace(fake_context(), parse_prompt=weighted, checkpoint=CheckpointInfo(EVIL, LIMITS), revision=EVIL)
    made = replace(picture(prompt=EVIL, negative_prompt=EVIL), notes=(EVIL,))
    assert EVIL not in render_image_details(made, 0, evil)


def test_a_prompt_that_no_longer_parses_is_no_error():
    def unreadable(prompt, weighting):
        raise PromptError("No.")

    assert "a cat" in render_image_details(picture(prompt="a cat"), 0, replace(fake_context(), parse_prompt=unreadable))


def test_every_unfinished_image_has_a_tile_with_its_preview_and_step():
    request = LIMITS.request({"images": 2, "width": 384})
    progress = ProgressTracker.start(request).update(Progress(1, "decoder", 2, 6))
    view = GenerationView("running", "", request=request, progress=progress, previews={1: b"RIFF", 0: b"?"})
    tiles = render_tiles(view)
    assert tiles.count("<figure") == 2
    assert "--ratio:384/256;--width:384px" in tiles
    assert "<figcaption>Prior 0 of 12</figcaption>" in tiles
    assert "<figcaption>Decoder 2 of 6</figcaption>" in tiles
    assert tiles.count("data:image/webp;base64,UklGRg==") == tiles.count("<img") == 1
    assert "<figcaption>Waiting</figcaption>" in render_tiles(replace(view, state="waiting"))
    assert render_tiles(replace(view, state="done")) == ""
