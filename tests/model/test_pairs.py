"""Every pair of options: refused in its own words, or taken and, where the table says so, drawn with and compared."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tests.model.machines import Elsewhere, OwnMemory
from tests.model.test_compiling import Counting
from wuerst_demo import pairs
from wuerst_demo.errors import PlacementError
from wuerst_demo.model.cascade import Cascade
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.compiling import compile_networks
from wuerst_demo.model.files import locate
from wuerst_demo.model.offload import arrange
from wuerst_demo.model.placement import Placement, decide
from wuerst_demo.model.sparing import spare
from wuerst_demo.request import Limits

EVERYTHING = Elsewhere(gpus=1, apple=True)
NOT_REFUSED = [pair for pair in pairs.every() if pairs.how(*pair) != "refused"]
COMPUTED = [pair for pair in NOT_REFUSED if pairs.how(*pair) != "wired"]
ROUNDING = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.1}
"""How far a pixel, in 0..1, may be from what the same type draws without the other option."""
SHORTER = {"float32": 1e-4, "float16": 0.05, "bfloat16": 0.2}
"""How far pixels may be, on average, from what float32 draws; in networks of random weights, rounding grows fast, and
another seed is 0.23 away. (That short types draw what the stock pipelines draw in them, test_cascade sees.)"""


def named(pair):
    return " and ".join(" ".join(choice) for choice in pair)


def asked(pair):
    """The pair as arguments of `decide`, on a GPU where it does not say otherwise."""
    values = {"device": "cuda", **dict(pair)}
    return {name: True if value == "on" else value for name, value in values.items()}


@pytest.fixture(scope="module")
def lora(parts, tmp_path_factory):
    """A LoRA that changes what the prior draws."""
    generator = torch.Generator().manual_seed(1)
    width = parts.prior.config["c"]
    tensors = {
        f"prior.blocks.2.attention.to_q.lora.{side}.weight": torch.randn(shape, generator=generator)
        for side, shape in (("down", (4, width)), ("up", (width, 4)))
    }
    path = tmp_path_factory.mktemp("lora") / "style.safetensors"
    save_file(tensors, path)
    return str(path)


@pytest.fixture(scope="module")
def drawn(checkpoint_2023, lora):
    """(type, offload, compiled, with the LoRA) -> the picture (1, 3, 128, 128), drawn once for all pairs."""
    pictures = {}

    def draw(dtype, offload, compiled, with_lora):
        key = (dtype, offload, compiled, with_lora)
        if key not in pictures:
            located = locate(str(checkpoint_2023 / "wuerstchen"), loras=[lora] if with_lora else [])
            placement = Placement("cpu", dtype, "sdpa", "", offload, compiled)
            parts = load_parts(located, placement)
            spare(parts)
            count = Counting()
            if compiled:
                compile_networks(parts, count)
            arrange(parts, placement, OwnMemory())
            cascade = Cascade(parts, Limits(), device="cpu")
            (row,) = cascade.begin(
                Limits().request(
                    {
                        "prompt": "a (red)1.5 cat",
                        "width": 128,
                        "height": 128,
                        "seed": 5,
                        "prior_steps": 2,
                        "prior_guidance": 0.0,
                        "decoder_steps": 1,
                    }
                )
            )
            while row.stage != "vqgan":
                (row,) = cascade.step([row])
            assert (count.graphs > 0) == compiled
            pictures[key] = cascade.decode([row]).float().clamp(0, 1)
        return pictures[key]

    return draw


def test_every_two_choices_are_told_apart_once():
    every = [frozenset(pair) for pair in pairs.every()]
    assert len(set(every)) == len(every)
    assert set(pairs.REFUSED) <= set(every)
    sizes = [len(values) for values in pairs.VALUES.values()]
    assert len(every) == (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2


@pytest.mark.parametrize("pair", [pair for pair in pairs.every() if pair not in NOT_REFUSED], ids=named)
def test_what_is_refused_is_refused_with_the_words_of_the_table_and_a_remedy(pair):
    with pytest.raises(PlacementError) as raised:
        decide(**asked(pair), machine=EVERYTHING)
    assert str(raised.value) == pairs.REFUSED[frozenset(pair)]
    assert "leave" in str(raised.value)


@pytest.mark.parametrize("pair", NOT_REFUSED, ids=named)
def test_what_is_not_refused_is_taken_and_recorded(pair):
    placement = decide(**asked(pair), machine=EVERYTHING)
    recorded = {
        "device": placement.device.partition(":")[0],
        "dtype": placement.dtype,
        "attention": placement.attention,
        "offload": placement.offload,
        "compile": "on" if placement.compile else "off",
        "lora": "on",  # belongs to the checkpoint, not to where it runs
    }
    assert all(recorded[option] == value for option, value in pair)


@pytest.mark.slow
@pytest.mark.parametrize("pair", COMPUTED, ids=named)
def test_what_is_said_to_be_drawn_draws_what_is_drawn_without(pair, drawn):
    chosen = dict(pair)
    dtype, lora = chosen.get("dtype", "float32"), "lora" in chosen
    picture = drawn(dtype, chosen.get("offload", "none"), "compile" in chosen, lora)
    torch.testing.assert_close(picture, drawn(dtype, "none", False, lora), rtol=0, atol=ROUNDING[dtype])
    difference = (picture - drawn("float32", "none", False, lora)).abs().mean()
    assert difference <= SHORTER[dtype]
    if lora:
        assert (picture - drawn(dtype, "none", False, False)).abs().max() > 0.1, "the LoRA has no effect"
