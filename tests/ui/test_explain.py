"""How a picture came about: drawn once more with its steps kept, and told in sizes, maps and times."""

import json
import re
from dataclasses import replace
from html import unescape

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from tests.ui.fakes import LIMITS, Painter, Staged, paint, studio
from wuerst_demo.events import Result, Stages
from wuerst_demo.ui.account import FRAMES, account, times
from wuerst_demo.ui.drawing import Picture
from wuerst_demo.ui.explain import Stand, explanation, offered
from wuerst_demo.ui.explaining import NO_STEPS, explain

REQUEST = LIMITS.request({"prompt": "a cat", "seed": 7})


def result(width=256, height=256, prior=20, decoder=10, seconds=None):
    rng = np.random.default_rng(0)
    deep, fine = (height * 3 // 128, width * 3 // 128), (min(height // 4, 64), min(width // 4, 64))
    stages = Stages(
        tuple(rng.normal(size=(16, *deep)).astype(np.float32) for _ in range(prior)),
        tuple(rng.normal(size=(4, *fine)).astype(np.float32) for _ in range(decoder)),
    )
    request = replace(REQUEST, width=width, height=height)
    return Result(0, paint(request), request, seconds or {"prior": 1.0, "decoder": 0.5, "total": 2.0}, (), stages)


def text(html):
    return unescape(re.sub(r"<[^>]+>", " ", html))


def steps(html):
    return json.loads(unescape(re.search(r'data-steps="([^"]*)"', html)[1]))


def sayings(html):
    return re.findall(r"<li>([^<]*)</li>", re.search(r'class="sayings" hidden>(.*?)</ol>', html)[1])


def test_the_sizes_and_the_compression_are_those_of_the_picture():
    said = text(account(result()))
    assert "6 × 6 × 16 = 576 numbers" in said
    assert "64 × 64 × 4 = 16,384 numbers" in said
    assert "256 × 256 × 3 = 196,608 numbers" in said
    assert "42.7 times smaller on each side, 341 times fewer numbers" in said
    large = text(account(result(1024, 1024, prior=2, decoder=2)))
    assert "24 × 24 × 16 = 9,216 numbers" in large
    assert "256 × 256 × 4 = 262,144 numbers" in large
    assert "1024 × 1024 × 3 = 3,145,728 numbers" in large
    assert "42.7 times smaller on each side, 341 times fewer numbers" in large
    assert "averaged to 64 × 64 here" in large
    assert "averaged" not in said
    assert "9 × 6 × 16" in text(account(result(384, 256, prior=2, decoder=2)))


def test_the_slider_goes_through_every_step_of_prior_and_decoder_and_ends_at_the_picture():
    html = account(result(prior=20, decoder=10))
    told, said = steps(html), sayings(html)
    assert len(told) == len(said) == 20 + 10 + 1
    assert said[:20] == [f"Prior, step {k} of 20" for k in range(1, 21)]
    assert said[20:30] == [f"Decoder, step {k} of 10" for k in range(1, 11)]
    assert [each["frames"]["prior"] for each in told] == [*range(20), *[19] * 11]
    assert [each["frames"]["decoder"] for each in told] == [*[0] * 20, *range(10), 9]
    assert [each["stage"] for each in told] == ["prior"] * 20 + ["decoder"] * 10 + ["vqgan"]


def test_of_very_many_steps_evenly_chosen_ones_are_shown_under_their_own_numbers():
    said = sayings(account(result(prior=100, decoder=1)))
    assert len(said) == FRAMES + 2
    assert said[0] == "Prior, step 1 of 100"
    assert said[FRAMES - 1] == "Prior, step 100 of 100"


def test_an_account_of_the_largest_picture_stays_small_enough_to_send():
    assert len(account(result(2048, 2048, prior=100, decoder=100))) < 2_000_000


def test_a_result_without_stages_has_no_account():
    with pytest.raises(ValueError, match="no stages"):
        account(Result(0, Image.new("RGB", (8, 8)), REQUEST))


def test_the_time_of_every_stage_is_there_with_its_share_and_the_rest_is_said_to_be_waiting():
    told = times({"text": 0.05, "prior": 1.6, "decoder": 0.4, "vqgan": 0.1, "total": 3.0}, 20, 10)
    said = text(told)
    for part in ("1.6 s, 20 steps of 80 ms", "400 ms, 10 steps of 40 ms", "100 ms", "50 ms", "3.0 s in all"):
        assert part in said
    assert re.search(r"Waiting and others' turns\s+850 ms", said)
    widths = [float(each) for each in re.findall(r'rect width="([\d.]+)"', told)]
    assert widths == pytest.approx([100 * each / 1.6 for each in (0.05, 1.6, 0.4, 0.1, 0.85)], abs=0.01)


def test_no_time_is_made_up():
    assert times({}, 20, 10) == ""
    assert "Waiting" not in times({"prior": 1.0, "decoder": 1.0, "total": 2.0}, 1, 1)


def test_the_picture_is_drawn_once_more_alone_with_its_stages_and_the_bar_never_goes_back():
    painter = Painter()
    seen = list(explain(replace(studio(painter), engine=Staged(painter)), REQUEST, "somebody"))
    assert [each.state for each in seen] == ["drawing"] * (len(seen) - 1) + ["done"]
    assert [each.fraction for each in seen] == sorted(each.fraction for each in seen)
    assert painter.asked == [REQUEST]
    assert len(seen[-1].result.stages.prior) == REQUEST.prior_steps
    assert seen[-1].result.picture.tobytes() == paint(REQUEST).tobytes()


def test_an_engine_that_keeps_no_steps_is_said_honestly():
    last = list(explain(studio(), REQUEST, "somebody"))[-1]
    assert (last.state, last.message, last.result) == ("refused", NO_STEPS, None)


def test_a_fault_of_ours_and_a_refusal_end_with_one_sentence(caplog):
    for prompt, state in (("break", "failed"), ("refuse", "refused")):
        last = list(explain(studio(), replace(REQUEST, prompt=prompt), "somebody"))[-1]
        assert last.state == state
        assert "secret" not in last.message


def test_closing_it_stops_the_drawing():
    painter = Painter()
    running = explain(replace(studio(painter), engine=Staged(painter)), REQUEST, "somebody")
    next(running)
    running.close()
    assert painter.running == 0


def components():
    with gr.Blocks():
        return Stand(gr.Button(), gr.Button(), gr.HTML(), gr.HTML(), gr.State(None))


def drawn(tmp_path, seeds=(7, 8)):
    return tuple(Picture(k, tmp_path / f"{k}.png", replace(REQUEST, seed=seed)) for k, seed in enumerate(seeds))


def test_of_several_pictures_one_is_chosen_and_before_the_first_there_is_nothing_to_press(tmp_path):
    which, go, status = offered(drawn(tmp_path))
    assert which.choices == [("1: seed 7", 0), ("2: seed 8", 1)]
    assert which.visible is True
    assert go.interactive is True
    which, go, status = offered(drawn(tmp_path, (7,)))
    assert (which.visible, go.interactive) == (False, True)
    which, go, status = offered(drawn(tmp_path, (7, 8, 9)), 1)
    assert (len(which.choices), which.value) == (3, 1)  # the choice stands while others come
    assert go == status == gr.skip()
    assert offered(drawn(tmp_path, (7,)), 1)[0].value == 0
    which, go, status = offered(())
    assert go.interactive is False
    assert "Nothing has been drawn yet" in status


def test_the_chosen_picture_is_explained_and_nonsense_is_refused(tmp_path):
    painter = Painter()
    made = replace(studio(painter), engine=Staged(painter))
    stand = components()
    handler = explanation(made, stand, unasked=False)
    updates = list(handler("", "", 1, drawn(tmp_path), None))
    assert painter.asked == [replace(REQUEST, seed=8)]
    assert "Prior, step 12 of 12" in updates[-1][stand.told]
    assert updates[-1][stand.of] == replace(REQUEST, seed=8)
    assert updates[0][stand.of] == updates[-1][stand.of]  # while it is drawn, opening the tab draws it no second time
    for nonsense in (2, -1, "0", None, True, 0.5):
        (refused,) = handler("", "", nonsense, drawn(tmp_path), None)
        assert stand.told not in refused
    (refused,) = handler("", "", 0, (), None)
    assert "Nothing has been drawn yet" in refused[stand.status]


def test_opening_the_tab_explains_what_is_cheap_and_new_and_nothing_else(tmp_path):
    painter = Painter()
    made = replace(studio(painter), engine=Staged(painter))
    stand = components()
    opening = explanation(made, stand, unasked=True)
    (picture,) = drawn(tmp_path, (7,))
    large = replace(picture, request=replace(REQUEST, width=1024, height=1024))
    for which, newest, before in ((None, (), None), (0, (picture,), REQUEST), (0, (large,), None)):
        assert list(opening("", "", which, newest, before)) == [{stand.go: gr.skip()}]
    assert painter.asked == []
    for which in (0, None):  # None: the list of pictures has not arrived at the browser yet
        assert stand.told in list(opening("", "", which, (picture,), large.request))[-1]


def test_what_the_visitor_wrote_is_shown_as_text():
    told = account(replace(result(prior=2, decoder=2), request=replace(REQUEST, prompt="<script>alert(1)</script>")))
    assert "<script>" not in told
    assert "<script>alert(1)</script>, seed 7" in unescape(told)
