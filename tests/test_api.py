"""The Python API on the 2023 checkpoint, compared with the images of the 2023 libraries."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from wuerst_demo import api
from wuerst_demo.devices.hardware import LOCAL_HARDWARE
from wuerst_demo.errors import CheckpointError, InvalidRequest, PlacementError, PromptError
from wuerst_demo.events import Done, Progress, Result
from wuerst_demo.networks.compile import CompiledForward


@pytest.fixture(scope="module")
def wuerstchen(checkpoint_2023):
    return api.load(str(checkpoint_2023 / "wuerstchen"), device="cpu")


def small(wuerstchen, **values):
    """A request that takes little work."""
    values = {"width": 128, "height": 128, "prior_steps": 2, "decoder_steps": 1, "seed": 5} | values
    return wuerstchen.request(prompt="a red cat", **values)


@pytest.mark.parametrize("k", [0, 2, 3])
def test_image_equals_that_of_the_2023_libraries(k, wuerstchen, cases_2023, checkpoint_2023):
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
    generated = np.asarray(result.image, np.float32).transpose(2, 0, 1) / 255
    expected = np.load(checkpoint_2023 / f"case{k}.npz")["image"][0].astype(np.float32)
    assert result.request == request
    # Half a step of eight bits, and the thousandth that the cascade itself may be away.
    assert np.abs(generated - expected).max() <= 0.5 / 255 + 1e-3


def test_run_yields_every_step_then_the_result_then_done(wuerstchen):
    events = list(wuerstchen.run(small(wuerstchen)))
    assert [(event.stage, event.step, event.total_steps) for event in events[:-2] if isinstance(event, Progress)] == [
        ("prior", 1, 2),
        ("prior", 2, 2),
        ("decoder", 1, 1),
        ("vqgan", 1, 1),
    ]
    assert isinstance(events[-2], Result)
    assert isinstance(events[-1], Done)
    assert events[-2].image.size == (128, 128)


def test_results_are_in_order_with_their_own_requests(wuerstchen):
    request = small(wuerstchen, images=3)
    results = wuerstchen.generate(request)
    assert [result.request.seed for result in results] == [5, 6, 7]
    (alone,) = wuerstchen.generate(results[2].request)
    assert np.abs(np.asarray(alone.image, int) - np.asarray(results[2].image, int)).max() <= 1


def test_closed_run_does_not_disturb_the_next(wuerstchen):
    with closing(wuerstchen.run(small(wuerstchen, images=2))) as events:
        next(events)
    assert len(wuerstchen.generate(small(wuerstchen))) == 1


def test_request_is_validated_against_the_checkpoint(wuerstchen):
    with pytest.raises(InvalidRequest, match="multiple of 128"):
        wuerstchen.request(prompt="a cat", width=200)
    with pytest.raises(InvalidRequest, match="no setting 'promt'"):
        wuerstchen.request(promt="a cat")


def test_prompt_is_parsed_without_generating(wuerstchen):
    reading = wuerstchen.parse_prompt("a (red)1.5 cat")
    assert [(word.text.strip(), word.weight) for word in reading.words if word.weight != 1] == [("red", 1.5)]
    assert 0 < reading.tokens <= reading.limit == 77
    assert all(word.weight == 1 for word in wuerstchen.parse_prompt("a (red)1.5 cat", weighting=False).words)


def test_invalid_prompt_does_not_disturb_the_next_request(wuerstchen):
    broken = '("a cat", "a dog").blend(1)'
    with pytest.raises(PromptError):
        wuerstchen.generate(wuerstchen.request(**(vars(small(wuerstchen)) | {"prompt": broken})))
    assert wuerstchen.generate(small(wuerstchen))


def test_checkpoint_has_its_name_and_placement(wuerstchen):
    assert (wuerstchen.name, wuerstchen.revision, wuerstchen.info.title) == ("wuerstchen", "", "wuerstchen")
    assert (wuerstchen.placement.device, wuerstchen.placement.dtype) == ("cpu", "float32")
    assert "Wuerstchen(" in repr(wuerstchen)
    assert "tensor" not in repr(wuerstchen)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_runs_on_a_cpu(dtype, checkpoint_2023):
    loaded = api.load(str(checkpoint_2023 / "wuerstchen"), device="cpu", dtype=dtype)
    (result,) = loaded.generate(small(loaded))
    assert result.image.size == (128, 128)


@pytest.mark.skipif(bool(LOCAL_HARDWARE.check_compiler("cpu")), reason="nothing can be compiled here")
def test_only_requested_networks_are_compiled(checkpoint_2023, wuerstchen):
    compiled = api.load(str(checkpoint_2023 / "wuerstchen"), device="cpu", compile=True)
    assert compiled.placement.compile
    assert "prior and decoder are compiled" in compiled.placement.reason
    assert all(isinstance(each, CompiledForward) for each in compiled._compiled)
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
def test_mistake_is_reported_before_torch_is_imported(call, error):
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


def test_checkpoints_and_loras_may_be_paths(checkpoint_2023):
    assert api.load(checkpoint_2023 / "wuerstchen", device="cpu").name == "wuerstchen"
    with pytest.raises(CheckpointError, match="no-such"):
        api.load(checkpoint_2023 / "wuerstchen", lora=Path("no-such.safetensors"))
