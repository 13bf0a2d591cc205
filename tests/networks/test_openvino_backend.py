"""OpenVINO in place of PyTorch's forward passes: the same images, and weights that are not held twice."""

from __future__ import annotations

import pytest
import torch

from tests.pipeline.helpers import decode_pixels, make_request, optimized_copy, run_joining, run_steps
from wuerst_demo.networks import openvino_backend
from wuerst_demo.networks.openvino_backend import MAX_COMPILED_SHAPES, use_openvino
from wuerst_demo.pipeline.cascade import Cascade
from wuerst_demo.request import Limits

pytest.importorskip("openvino")
pytestmark = pytest.mark.slow


def converted(components, dtype="float32"):
    changed = optimized_copy(components)
    use_openvino(changed, dtype)
    return changed


@pytest.fixture(scope="module")
def openvino(components):
    return Cascade(converted(components), Limits(), device="cpu")


@pytest.mark.parametrize(
    "values",
    [
        {"prior_guidance": 4.0, "decoder_guidance": 2.0},
        {"width": 256, "prior_guidance": 4.0},
        {"prior_steps": 1, "decoder_steps": 1, "sampler": "ddim"},
        {"prompt": " ".join(["a (red)1.5 cat"] * 70)},  # more tokens than are cached
    ],
)
def test_an_image_is_the_one_of_pytorch(openvino, cascade, values):
    request = make_request(**values)
    pixels = [decode_pixels(each, each.begin(request)) for each in (openvino, cascade)]
    torch.testing.assert_close(*pixels, rtol=0, atol=1 / 255)


def test_images_in_a_batch_are_those_generated_alone(openvino):
    requests = [make_request(prompt=f"cat {seed}", seed=seed, prior_guidance=float(seed)) for seed in (0, 2, 3)]
    finished, batch_sizes = run_joining(openvino, requests)
    assert max(batch_sizes) == 3
    for request in requests:
        (alone,) = run_steps(openvino, openvino.begin(request))
        torch.testing.assert_close(
            openvino.decode([finished[request.seed]]), openvino.decode([alone]), rtol=0, atol=1 / 255
        )


def test_weights_that_nothing_else_needs_are_released(components):
    changed = converted(components)
    for network in (changed.prior, changed.decoder, changed.vqgan):
        held = {name for name, weights in network.named_parameters() if weights.device.type != "meta"}
        assert all(".kv_mapper." in name or ".to_k." in name or ".to_v." in name or "_mapper." in name for name in held)
    assert not [weights for weights in components.prior.parameters() if weights.device.type == "meta"]


class Core:
    """Stands in for OpenVINO: records what is compiled."""

    def __init__(self):
        self.compiled = []

    def compile_model(self, model, device, options):
        self.compiled.append((model.shapes, device, options))
        return self

    def create_infer_request(self):
        return self

    def infer(self, arrays, share_inputs):
        return [arrays[0] + 1]


class Model:
    inputs = ("x",)

    def clone(self):
        return Model()

    def reshape(self, shapes):
        self.shapes = shapes


@pytest.fixture
def forward(monkeypatch):
    import openvino

    core = Core()
    monkeypatch.setattr(openvino, "convert_model", lambda module, example_input: Model())
    monkeypatch.setattr(openvino, "Core", lambda: core)
    return openvino_backend.OpenVinoForward(torch.nn.Identity(), (torch.zeros(1, 2),), "bfloat16"), core


def test_batches_are_padded_to_a_few_sizes_and_the_precision_is_said(forward):
    run, core = forward
    for count in (1, 2, 3, 4, 3, 17):
        assert torch.equal(run(torch.full((count, 2), 5.0)), torch.full((count, 2), 6.0))
    assert [shapes["x"][0] for shapes, _, _ in core.compiled] == [1, 2, 4, 17]
    assert {(device, options["INFERENCE_PRECISION_HINT"]) for _, device, options in core.compiled} == {("CPU", "bf16")}


def test_the_shape_used_least_recently_makes_room(forward):
    run, core = forward
    for width in (*range(MAX_COMPILED_SHAPES), 0, MAX_COMPILED_SHAPES, 0, 1):
        run(torch.zeros(1, width))
    widths = [shapes["x"][1] for shapes, _, _ in core.compiled]
    assert widths == [*range(MAX_COMPILED_SHAPES + 1), 1]
