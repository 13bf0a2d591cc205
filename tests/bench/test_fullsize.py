"""The full-size check runs, on small networks, and what it counts is what diffusers' networks compute."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wuerst_demo.bench import fullsize
from wuerst_demo.bench.flops import count
from wuerst_demo.bench.published import PUBLISHED, stored_bytes, write
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.files import locate
from wuerst_demo.model.known import limits_of
from wuerst_demo.model.placement import decide
from wuerst_demo.model.sparing import spare
from wuerst_demo.request import Limits


@pytest.fixture(scope="module")
def tiny(checkpoint_2023):
    """The options of the 2023 checkpoint's networks, which fit into a test, for the shipped tokenizers' words."""
    places = {place: checkpoint_2023 / place / "config.json" for place in PUBLISHED}
    networks = {place: json.loads(path.read_text()) for place, path in places.items()}
    for options in networks.values():
        for name in [name for name in options if name.startswith("_")]:
            del options[name]
        if "vocab_size" in options:
            options["vocab_size"] = 4096
    return networks


def test_it_measures_every_stage_and_ends_in_a_line_of_json(tiny, tmp_path, capsys):
    words = ["--size", "128", "--steps", "3,2", "--pictures", "2", "--compare", "--device", "cpu"]
    assert fullsize.main(words, {"TMPDIR": str(tmp_path)}, tiny) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = json.loads(lines[-1])
    for stage in ("text", "prior", "decoder", "vqgan", "total"):
        assert facts["ours"]["settled"][stage] > 0
        assert any(line.startswith(stage) for line in lines)
    assert len(facts["ours"]["pictures"]) == len(facts["stock"]["pictures"]) == 2
    assert facts["ratio"] == facts["stock"]["settled"]["total"] / facts["ours"]["settled"]["total"]
    assert facts["weights_bytes"] == 4 * facts["parameters"]
    assert 0 < facts["operations"]["asked"] < facts["operations"]["published_steps"]
    assert facts["operations"]["published_steps"] < facts["operations"]["published_steps_stock"]
    assert facts["ours"]["host_peak"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", "vqgan"], "--parts takes prior, decoder"),
        (["--steps", "4"], "--steps takes two numbers"),
        (["--size", "1000"], "Width"),
        (["prior"], "options only"),
        (["--device", "tpu"], "--device must be"),
    ],
)
def test_a_mistake_is_answered_with_one_line(words, said, capsys):
    assert fullsize.main(words, {}) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_disk_without_room_is_told_before_anything_is_written(tiny, tmp_path, capsys):
    room = stored_bytes(tiny) - 1
    assert fullsize.main(["--size", "128"], {"TMPDIR": str(tmp_path)}, tiny, lambda folder: room) == 2
    out, err = capsys.readouterr()
    assert "set TMPDIR to a folder that has room, or give --parts prior" in err
    assert (out, err.count("\n"), list(tmp_path.iterdir())) == ("", 1, [])


def test_what_is_written_loads_and_is_as_large_as_it_was_said_to_be(tiny, tmp_path):
    write(tmp_path, tiny, "random")
    files = list(tmp_path.rglob("*.safetensors"))
    assert 0 < sum(path.stat().st_size for path in files) - stored_bytes(tiny) < 2**20
    parts = load_parts(locate(str(tmp_path / "wuerstchen")), decide("cpu", "float16"))
    for network in (parts.prior, parts.decoder, parts.vqgan):
        weights = [tensor for tensor in network.parameters() if tensor.dim() > 1]
        assert all(tensor.float().std() > 0 for tensor in weights)


@pytest.mark.parametrize("stock", [True, False])
def test_what_is_counted_is_what_a_picture_computes(tiny, tmp_path, stock):
    write(tmp_path, tiny, "zeros")
    located = locate(str(tmp_path / "wuerstchen"))
    values = {"prior_steps": 2, "decoder_steps": 3, "prior_guidance": 4.0, "decoder_guidance": 0.0}
    request = Limits().request({"prompt": "a", "seed": 0, "width": 128, "height": 256, **values})
    parts = load_parts(located, decide("cpu"))
    if not stock:
        spare(parts)
    cascade = Cascade(parts, limits_of(located))
    found: dict[str, int] = {}
    rows = cascade.begin(request)
    while rows[0].stage != "vqgan":
        stage = rows[0].stage
        # torch's counter knows no fused attention on a CPU.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            rows = cascade.step(rows)
        found[stage] = found.get(stage, 0) + counter.get_total_flops()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        cascade.decode(rows)
    expected = count(tiny, request, stock)
    assert found | {"vqgan": counter.get_total_flops()} == {
        name: expected[name] for name in ("prior", "decoder", "vqgan")
    }


@pytest.mark.slow
def test_a_published_picture_takes_at_most_96_tera_operations():
    values = {"width": 1024, "height": 1024, "prior_steps": 29, "prior_guidance": 4.0, "decoder_steps": 12}
    request = Limits().request({"prompt": "a", "seed": 0, "decoder_guidance": 0.0, **values})
    assert sum(count(PUBLISHED, request).values()) <= 96e12
