"""Report on an image: sizes, maps and times of its three stages."""

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from PIL import Image

from tests.fakes.web import EMBEDDINGS, LIMITS, expected_image
from wuerst_demo.events import Result, StageLatents
from wuerst_demo.web.explain.report import MAX_FRAMES, render_report, render_timing

REQUEST = LIMITS.request({"prompt": "a cat", "seed": 7})


def result(width=256, height=256, prior=20, decoder=10, seconds=None):
    rng = np.random.default_rng(0)
    deep, fine = (height * 3 // 128, width * 3 // 128), (min(height // 4, 64), min(width // 4, 64))
    stages = StageLatents(
        tuple(rng.normal(size=(16, *deep)).astype(np.float32) for _ in range(prior)),
        tuple(rng.normal(size=(4, *fine)).astype(np.float32) for _ in range(decoder)),
    )
    request = replace(REQUEST, width=width, height=height)
    return Result(
        0, expected_image(request), request, seconds or {"prior": 1.0, "decoder": 0.5, "total": 2.0}, (), stages
    )


def text(html):
    return unescape(re.sub(r"<[^>]+>", " ", html))


def steps(html):
    return json.loads(unescape(re.search(r'data-steps="([^"]*)"', html)[1]))


def sayings(html):
    return re.findall(r"<li>([^<]*)</li>", re.search(r'class="captions" hidden>(.*?)</ol>', html)[1])


def test_sizes_and_compression_are_those_of_the_image():
    said = text(render_report(result()))
    assert "6 × 6 × 16 = 576 numbers" in said
    assert "64 × 64 × 4 = 16,384 numbers" in said
    assert "256 × 256 × 3 = 196,608 numbers" in said
    assert "42.7 times smaller on each side, 341 times fewer numbers" in said
    large = text(render_report(result(1024, 1024, prior=2, decoder=2)))
    assert "24 × 24 × 16 = 9,216 numbers" in large
    assert "256 × 256 × 4 = 262,144 numbers" in large
    assert "1024 × 1024 × 3 = 3,145,728 numbers" in large
    assert "42.7 times smaller on each side, 341 times fewer numbers" in large
    assert "averaged to 64 × 64 here" in large
    assert "averaged" not in said
    assert "9 × 6 × 16" in text(render_report(result(384, 256, prior=2, decoder=2)))


def test_the_slider_goes_through_every_step_and_ends_at_the_image():
    html = render_report(result(prior=20, decoder=10))
    told, said = steps(html), sayings(html)
    assert len(told) == len(said) == 20 + 10 + 1
    assert said[:20] == [f"Prior, step {k} of 20" for k in range(1, 21)]
    assert said[20:30] == [f"Decoder, step {k} of 10" for k in range(1, 11)]
    assert [each["frames"]["prior"] for each in told] == [*range(20), *[19] * 11]
    assert [each["frames"]["decoder"] for each in told] == [*[0] * 20, *range(10), 9]
    assert [each["stage"] for each in told] == ["prior"] * 20 + ["decoder"] * 10 + ["vqgan"]


def test_many_steps_are_sampled_and_keep_their_numbers():
    said = sayings(render_report(result(prior=100, decoder=1)))
    assert len(said) == MAX_FRAMES + 2
    assert said[0] == "Prior, step 1 of 100"
    assert said[MAX_FRAMES - 1] == "Prior, step 100 of 100"


def test_the_report_on_the_largest_image_is_small_enough_to_send():
    assert len(render_report(result(2048, 2048, prior=100, decoder=100))) < 2_000_000


def test_a_result_without_stages_has_no_report():
    with pytest.raises(ValueError, match="no stages"):
        render_report(Result(0, Image.new("RGB", (8, 8)), REQUEST))


def test_a_picture_whose_prior_was_skipped_shows_the_composition_it_was_given():
    whole = result(prior=2)
    given = replace(whole, stages=StageLatents((), whole.stages.decoder), image_embeddings=EMBEDDINGS)
    said = sayings(render_report(given))
    assert said[:2] == ["Prior, step 1 of 1", "Decoder, step 1 of 10"]
    assert "6 × 6 × 16 = 576 numbers" in text(render_report(given))


def test_every_stage_has_its_time_and_the_rest_is_waiting():
    told = render_timing({"text": 0.05, "prior": 1.6, "decoder": 0.4, "vqgan": 0.1, "total": 3.0}, 20, 10)
    said = text(told)
    for part in ("1.6 s, 20 steps of 80 ms", "400 ms, 10 steps of 40 ms", "100 ms", "50 ms", "3.0 s in total"):
        assert part in said
    assert re.search(r"Waiting for other pictures\s+850 ms", said)
    widths = [float(each) for each in re.findall(r'rect width="([\d.]+)"', told)]
    assert widths == pytest.approx([100 * each / 1.6 for each in (0.05, 1.6, 0.4, 0.1, 0.85)], abs=0.01)


def test_unknown_times_are_left_out():
    assert render_timing({}, 20, 10) == ""
    assert "Waiting" not in render_timing({"prior": 1.0, "decoder": 1.0, "total": 2.0}, 1, 1)


def test_the_prompt_is_escaped():
    told = render_report(
        replace(result(prior=2, decoder=2), request=replace(REQUEST, prompt="<script>alert(1)</script>"))
    )
    assert "<script>" not in told
    assert "<script>alert(1)</script>, seed 7" in unescape(told)
