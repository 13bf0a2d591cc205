"""Würstchen from Python, on the 2023 checkpoint and against what the 2023 libraries drew with it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from wuerst_demo import api
from wuerst_demo.errors import CheckpointError, InvalidRequest, PlacementError, PromptError
from wuerst_demo.events import Done, Progress, Result
from wuerst_demo.model.compiling import Compiled
from wuerst_demo.model.machine import HERE


@pytest.fixture(scope="module")
def wuerstchen(checkpoint_2023):
    return api.load(str(checkpoint_2023 / "wuerstchen"), device="cpu")


def small(wuerstchen, **values):
    """A request that takes as little work as one can."""
    values = {"width": 128, "height": 128, "prior_steps": 2, "decoder_steps": 1, "seed": 5} | values
    return wuerstchen.request(prompt="a red cat", **values)


@pytest.mark.parametrize("k", [0, 2, 3])
def test_a_picture_is_the_one_that_the_2023_libraries_drew(k, wuerstchen, cases_2023, checkpoint_2023):
    case = cases_2023[k]
    request = wuerstchen.request(
        prompt=case["prompt"],
        negative_prompt=case["negative_prompt"] or "",
        weighting=False,
        width=case["width"],
        height=case["height"],
        seed=case["seed"],
        prior_steps=case["prior_steps"] or 29,
        prior_schedule="linear" if case["prior_steps"] else "two-part",
        prior_guidance=case["prior_guidance_scale"],
        decoder_steps=case["decoder_steps"],
        decoder_guidance=case["decoder_guidance_scale"],
    )
    (result,) = wuerstchen.generate(request)
    drawn = np.asarray(result.picture, np.float32).transpose(2, 0, 1) / 255
    expected = np.load(checkpoint_2023 / f"case{k}.npz")["image"][0].astype(np.float32)
    assert result.request == request
    # Half a step of eight bits, and the thousandth that the cascade itself may be away.
    assert np.abs(drawn - expected).max() <= 0.5 / 255 + 1e-3


def test_a_run_tells_every_step_then_the_picture_then_its_end(wuerstchen):
    events = list(wuerstchen.run(small(wuerstchen)))
    assert [(event.stage, event.step, event.of) for event in events[:-2] if isinstance(event, Progress)] == [
        ("prior", 1, 2),
        ("prior", 2, 2),
        ("decoder", 1, 1),
        ("vqgan", 1, 1),
    ]
    assert isinstance(events[-2], Result)
    assert isinstance(events[-1], Done)
    assert events[-2].picture.size == (128, 128)


def test_pictures_come_in_order_each_with_the_request_that_draws_it_alone(wuerstchen):
    request = small(wuerstchen, images=3)
    results = wuerstchen.generate(request)
    assert [result.request.seed for result in results] == [5, 6, 7]
    (alone,) = wuerstchen.generate(results[2].request)
    assert np.abs(np.asarray(alone.picture, int) - np.asarray(results[2].picture, int)).max() <= 1


def test_a_run_that_is_closed_leaves_the_next_one_undisturbed(wuerstchen):
    with closing(wuerstchen.run(small(wuerstchen, images=2))) as events:
        next(events)
    assert len(wuerstchen.generate(small(wuerstchen))) == 1


def test_a_request_is_checked_against_the_checkpoint(wuerstchen):
    with pytest.raises(InvalidRequest, match="multiple of 128"):
        wuerstchen.request(prompt="a cat", width=200)
    with pytest.raises(InvalidRequest, match="no setting 'promt'"):
        wuerstchen.request(promt="a cat")


def test_a_prompt_is_read_without_drawing(wuerstchen):
    reading = wuerstchen.read("a (red)1.5 cat")
    assert [(word.text.strip(), word.weight) for word in reading.words if word.weight != 1] == [("red", 1.5)]
    assert 0 < reading.tokens <= reading.limit == 77
    assert all(word.weight == 1 for word in wuerstchen.read("a (red)1.5 cat", weighting=False).words)


def test_a_prompt_that_cannot_be_read_does_not_keep_the_next_from_being_drawn(wuerstchen):
    broken = '("a cat", "a dog").blend(1)'
    with pytest.raises(PromptError):
        wuerstchen.generate(wuerstchen.request(**(vars(small(wuerstchen)) | {"prompt": broken})))
    assert wuerstchen.generate(small(wuerstchen))


def test_a_checkpoint_says_what_it_is_and_where_it_runs(wuerstchen):
    assert (wuerstchen.name, wuerstchen.revision, wuerstchen.title) == ("wuerstchen", "", "wuerstchen")
    assert (wuerstchen.placement.device, wuerstchen.placement.dtype) == ("cpu", "float32")
    assert "Wuerstchen(" in repr(wuerstchen)
    assert "tensor" not in repr(wuerstchen)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_shorter_types_draw_on_a_cpu_too(dtype, checkpoint_2023):
    loaded = api.load(str(checkpoint_2023 / "wuerstchen"), device="cpu", dtype=dtype)
    (result,) = loaded.generate(small(loaded))
    assert result.picture.size == (128, 128)


@pytest.mark.skipif(bool(HERE.compiler("cpu")), reason="nothing can be compiled here")
def test_what_is_to_be_compiled_is_prepared_and_nothing_else(checkpoint_2023, wuerstchen):
    compiled = api.load(str(checkpoint_2023 / "wuerstchen"), device="cpu", compile=True)
    assert compiled.placement.compile
    assert "prior and decoder are compiled" in compiled.placement.reason
    assert all(isinstance(each, Compiled) for each in compiled._compiled)
    assert len(compiled._compiled) == 2
    assert wuerstchen._compiled == ()
    assert wuerstchen.warm_up() == ""


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("load('wurstchen')", CheckpointError),
        ("load('tests/fixtures')", CheckpointError),
        ("load(device='cpu', offload='model')", PlacementError),
        ("load(device='mps', attention='xformers')", PlacementError),
        ("load(compile=True, offload='sequential')", PlacementError),
    ],
)
def test_a_mistake_is_answered_before_torch_is_imported(call, error):
    program = f"""
import sys
from wuerst_demo.api import load
from wuerst_demo.errors import WuerstError
try:
    {call}
except WuerstError as error:
    print(type(error).__name__, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (f"{error.__name__} False\n", "")


def test_files_and_folders_may_be_paths(checkpoint_2023):
    assert api.load(checkpoint_2023 / "wuerstchen", device="cpu").name == "wuerstchen"
    with pytest.raises(CheckpointError, match="no-such"):
        api.load(checkpoint_2023 / "wuerstchen", lora=Path("no-such.safetensors"))
