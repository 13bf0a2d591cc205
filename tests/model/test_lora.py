"""LoRAs for the prior: what they add to its weights, and every way in which a file can be the wrong one.

What is right is told by matrices multiplied here, and by diffusers, which keeps a LoRA beside the network.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.model.fakes import COMMIT, FolderHub, served
from wuerst_demo import about
from wuerst_demo.errors import CheckpointError
from wuerst_demo.events import Result
from wuerst_demo.metadata import from_png
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.files import locate
from wuerst_demo.model.hub import HuggingFaceHub
from wuerst_demo.model.known import title_of
from wuerst_demo.model.lora import weights_of
from wuerst_demo.model.placement import decide
from wuerst_demo.pictures import save
from wuerst_demo.settings import Settings

RANK = 3
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@pytest.fixture(scope="module")
def model(checkpoint_2023) -> str:
    return str(checkpoint_2023 / "wuerstchen")


@pytest.fixture(scope="module")
def base(parts):
    """The prior's weights without a LoRA."""
    return parts.prior.state_dict()


@pytest.fixture(scope="module")
def changes(base):
    """For every attention weight of the prior, the two small matrices of a LoRA, by the layer's name."""
    torch.manual_seed(7)
    layers = [name.removesuffix(".weight") for name in base if name.removesuffix(".weight").endswith(ATTENTION)]
    assert layers
    width = base[f"{layers[0]}.weight"].shape[0]
    return {layer: (torch.randn(RANK, width) / 8, torch.randn(width, RANK) / 8) for layer in layers}


def in_2023(changes):
    """The names that the training script of 2023 wrote."""
    tensors = {}
    for layer, (down, up) in changes.items():
        block, _, inside = layer.partition(".attention.")
        stem = f"prior.{block}.attention.processor.{inside.removesuffix('.0')}_lora"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return tensors


def after_2023(changes, between="lora", prefix="prior."):
    return {
        f"{prefix}{layer}.{between}.{side}.weight": matrix
        for layer, pair in changes.items()
        for side, matrix in zip(("down", "up"), pair, strict=True)
    }


def in_peft(changes, prefix="prior.", adapter=""):
    return {
        f"{prefix}{layer}.lora_{side}{adapter}.weight": matrix
        for layer, pair in changes.items()
        for side, matrix in zip("AB", pair, strict=True)
    }


def in_one_trainer(changes, prefix="lora_prior_unet_", dot="_"):
    """The names that OneTrainer writes, each layer with an alpha; here it is the rank, which changes nothing."""
    tensors = {}
    for layer, (down, up) in changes.items():
        stem = prefix + layer.replace(".", dot)
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        tensors[f"{stem}.alpha"] = torch.tensor(float(RANK))
    return tensors


def written(path: Path, tensors, metadata=None) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, metadata)
    return str(path)


def merged(base, *loras):
    """The weights by hand: W + scale * up @ down."""
    weights = {name: tensor.clone() for name, tensor in base.items()}
    for changes, scale in loras:
        for layer, (down, up) in changes.items():
            weights[f"{layer}.weight"] += scale * up @ down
    return weights


def prior_of(model, *loras):
    return load_parts(locate(model, loras=loras), decide("cpu")).prior


def assert_holds(prior, weights):
    found = prior.state_dict()
    assert found.keys() == weights.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-6)


def predicted(prior):
    generator = torch.Generator().manual_seed(1)
    c_cond, latents = prior.config["c_cond"], torch.randn(2, 16, 6, 9, generator=generator)
    with torch.no_grad():
        return prior(latents, r=torch.tensor([0.3, 0.9]), c=torch.randn(2, 77, c_cond, generator=generator))


# ---------------------------------------------------------------------------------------------- what it changes


STYLES = {
    "2023": in_2023,
    "later": after_2023,
    "linear layer": lambda changes: after_2023(changes, "lora_linear_layer"),
    "peft": in_peft,
    "peft without prefix": lambda changes: in_peft(changes, ""),
    "peft of its own": lambda changes: in_peft(changes, "base_model.model."),
    "peft with a name": lambda changes: in_peft(changes, adapter=".default"),
    "OneTrainer": in_one_trainer,
    "OneTrainer, early": lambda changes: in_one_trainer(changes, "lora_prior_prior_"),
    "OneTrainer with dots": lambda changes: in_one_trainer(changes, "lora_prior_unet.", "."),
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_in_every_way_of_naming_it_is_added_to_the_weights(model, base, changes, tmp_path, style):
    path = written(tmp_path / "style.safetensors", style(changes))
    assert_holds(prior_of(model, f"{path}:0.7"), merged(base, (changes, 0.7)))


@pytest.mark.parametrize("style", [in_2023, in_peft])
def test_the_prior_predicts_what_diffusers_predicts_with_the_lora_beside_it(model, parts, changes, tmp_path, style):
    path = Path(written(tmp_path / "style.safetensors", style(changes)))
    ours = prior_of(model, str(path))
    theirs = copy.deepcopy(parts.prior)
    theirs.load_lora_adapter(str(path.parent), prefix="prior", weight_name=path.name, use_safetensors=True)
    theirs.eval()
    expected = predicted(theirs)
    torch.testing.assert_close(predicted(ours), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(predicted(parts.prior), expected, atol=1e-2), "the LoRA makes no difference"


@pytest.mark.parametrize("own", [False, True], ids=["save_lora_adapter", "save_pretrained"])
def test_what_diffusers_and_peft_write_is_read_with_its_strength(model, parts, tmp_path, own):
    from peft import LoraConfig, get_peft_model

    theirs = copy.deepcopy(parts.prior)
    config = LoraConfig(r=RANK, lora_alpha=5, target_modules=["to_q", "to_out.0"], init_lora_weights=False)
    torch.manual_seed(11)
    if own:
        theirs = get_peft_model(theirs, config).eval()
        theirs.save_pretrained(tmp_path)
        name = "adapter_model.safetensors"
    else:
        theirs.add_adapter(config, adapter_name="style")
        theirs.save_lora_adapter(tmp_path, adapter_name="style")
        name = "pytorch_lora_weights.safetensors"
    expected = predicted(theirs.eval())
    assert not torch.allclose(predicted(parts.prior), expected, atol=1e-2), "the LoRA makes no difference"
    torch.testing.assert_close(predicted(prior_of(model, str(tmp_path / name))), expected, rtol=1e-4, atol=1e-4)


def test_two_at_once_add_up_and_a_scale_may_be_negative_or_nothing(model, base, changes, tmp_path):
    half = {layer: pair for k, (layer, pair) in enumerate(changes.items()) if k % 2}
    one = written(tmp_path / "one.safetensors", in_2023(changes))
    two = written(tmp_path / "two.safetensors", in_peft(half))
    assert_holds(prior_of(model, f"{one}:0.5", f"{two}:-2"), merged(base, (changes, 0.5), (half, -2.0)))
    assert_holds(prior_of(model, f"{one}:0"), base)


def test_layers_outside_the_attention_can_be_changed_too(model, base, tmp_path):
    """Every layer of the prior, convolutions included."""
    torch.manual_seed(3)
    changes, tensors = {}, {}
    for name, weight in base.items():
        if not name.endswith(".weight"):
            continue
        layer = name.removesuffix(".weight")
        down, up = torch.randn(2, *weight.shape[1:]), torch.randn(weight.shape[0], 2, *[1] * (weight.dim() - 2))
        tensors |= {f"prior.{layer}.lora_A.weight": down, f"prior.{layer}.lora_B.weight": up}
        changes[layer] = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    path = written(tmp_path / "all.safetensors", tensors)
    expected = {name: tensor + changes.get(name.removesuffix(".weight"), 0) for name, tensor in base.items()}
    assert_holds(prior_of(model, path), {**expected, **{n: t for n, t in base.items() if not n.endswith(".weight")}})


def test_the_table_of_weights_is_the_networks_own(parts, base):
    assert weights_of(parts.prior.config) == {n: tuple(t.shape) for n, t in base.items() if n.endswith(".weight")}


def test_an_alpha_in_the_file_sets_the_strength(model, base, changes, tmp_path):
    tensors = after_2023(changes) | {f"prior.{layer}.alpha": torch.tensor(1.5) for layer in changes}
    path = written(tmp_path / "alpha.safetensors", tensors)
    assert_holds(prior_of(model, f"{path}:2"), merged(base, (changes, 2 * 1.5 / RANK)))


def test_pefts_alpha_sets_the_strength_beside_the_file_or_in_its_header(model, base, changes, tmp_path):
    first = next(iter(changes))
    config = {"r": RANK, "lora_alpha": 6, "alpha_pattern": {f"^{first}": 12}, "use_rslora": False}
    header = {"lora_adapter_metadata": json.dumps(config)}
    inside = written(tmp_path / "a" / "style.safetensors", in_peft(changes), header)
    beside = written(tmp_path / "b" / "adapter_model.safetensors", in_peft(changes, "base_model.model."))
    (tmp_path / "b" / "adapter_config.json").write_text(json.dumps(config))
    expected = merged(base, (changes, 6 / RANK), ({first: changes[first]}, 6 / RANK))
    for path in (inside, beside):
        assert_holds(prior_of(model, path), expected)
    (tmp_path / "b" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": "much"}))
    with pytest.raises(CheckpointError, match="how strong it is"):
        locate(model, loras=[beside])


def test_in_a_shorter_type_the_sum_is_rounded_once(model, base, changes, tmp_path):
    path = written(tmp_path / "style.safetensors", {n: t.half() for n, t in in_2023(changes).items()})
    halves = {layer: (down.half().float(), up.half().float()) for layer, (down, up) in changes.items()}
    found = load_parts(locate(model, loras=[path]), decide("cpu", "float16")).prior.state_dict()
    for name, tensor in merged(base, (halves, 1.0)).items():
        torch.testing.assert_close(found[name], tensor.half(), rtol=1e-3, atol=1e-6)


# ---------------------------------------------------------------------------------------------- the record


def test_a_picture_says_which_loras_drew_it_and_so_do_info_and_the_title(model, changes, tmp_path):
    from wuerst_demo.api import load

    one = written(tmp_path / "pixel-art.safetensors", in_2023(changes))
    two = written(tmp_path / "felt.safetensors", in_peft(changes))
    wuerstchen = load(model, lora=[f"{one}:0.6", two], device="cpu")
    request = wuerstchen.request(prompt="a cat", seed=1, width=128, height=128, prior_steps=1, decoder_steps=1)
    (result,) = wuerstchen.generate(request)
    assert isinstance(result, Result)
    found = from_png(save(result, tmp_path / "out", wuerstchen.name, wuerstchen.revision))
    assert found.checkpoint == "wuerstchen + pixel-art.safetensors:0.6 + felt.safetensors:1"
    located = locate(model, loras=[f"{one}:0.6", two])
    facts = about.facts(located, Settings(device="cpu"))
    assert [(each["name"], each["scale"]) for each in facts["checkpoint"]["loras"]] == [
        ("pixel-art.safetensors", 0.6),
        ("felt.safetensors", 1.0),
    ]
    assert "LoRA pixel-art.safetensors, scale 0.6, changes " in about.text(facts)
    assert "pixel-art.safetensors:0.6" in title_of(located) == wuerstchen.title


def test_the_longest_record_of_loras_can_be_read_back(model, changes, tmp_path):
    long = written(tmp_path / ("x" * 240 + ".safetensors"), in_2023(changes))
    located = locate(model, loras=[f"{long}:0.{k}" for k in range(8)])
    from tests.fakes import painted
    from wuerst_demo.request import Limits

    request = Limits().request({"prompt": "a cat", "seed": 1})
    path = save(Result(0, painted(request), request), tmp_path, located.name)
    assert from_png(path).checkpoint == located.name


# ---------------------------------------------------------------------------------------------- from the Hub


@pytest.fixture
def repository(changes, tmp_path) -> Path:
    folder = tmp_path / "repository"
    written(folder / "pixel-art.safetensors", in_2023(changes))
    (folder / "pytorch_lora_weights.bin").write_bytes(b"a pickle")
    written(folder / "checkpoint-500" / "early.safetensors", in_2023(changes))
    return folder


def test_the_one_safetensors_file_of_a_repository_is_fetched_and_no_other(model, repository, tmp_path):
    hub = FolderHub({"owner/style": repository}, tmp_path / "cache")
    (lora,) = locate(model, loras=["owner/style:0.4"], hub=hub).loras
    assert (lora.name, lora.scale, lora.revision) == ("owner/style/pixel-art.safetensors", 0.4, COMMIT)
    assert hub.fetched == [("owner/style", None, "pixel-art.safetensors")]


def test_a_certain_file_of_a_certain_revision_can_be_named(model, repository, tmp_path):
    hub = FolderHub({"owner/style": repository}, tmp_path / "cache")
    locate(model, loras=["owner/style/checkpoint-500/early.safetensors@v2:0.4"], hub=hub)
    assert hub.fetched == [("owner/style", "v2", "checkpoint-500/early.safetensors")]


def test_of_several_files_one_has_to_be_named(model, repository, tmp_path):
    (repository / "pixel-art.safetensors").rename(repository / "a.safetensors")
    (repository / "b.safetensors").write_bytes((repository / "a.safetensors").read_bytes())
    hub = FolderHub({"owner/style": repository}, tmp_path / "cache")
    with pytest.raises(CheckpointError, match=r"has 2 safetensors files: say which, as in owner/style/a\.safetensors"):
        locate(model, loras=["owner/style"], hub=hub)
    with pytest.raises(CheckpointError, match=r"has no file c\.safetensors: see its files on"):
        locate(model, loras=["owner/style/c.safetensors"], hub=hub)
    assert hub.fetched == []


def test_what_was_fetched_once_works_without_a_network(model, repository, tmp_path):
    with served({"owner/style": repository}) as endpoint:
        first = locate(model, loras=["owner/style"], hub=HuggingFaceHub(endpoint, tmp_path / "cache"))
    again = locate(model, loras=["owner/style"], hub=HuggingFaceHub(endpoint, tmp_path / "cache"))
    assert again.loras == first.loras


def test_a_folder_with_one_file_will_do(model, repository):
    (lora,) = locate(model, loras=[f"{repository}:0.5"]).loras
    assert lora.path == repository / "pixel-art.safetensors"


# ---------------------------------------------------------------------------------------------- what is refused


def refused(model, *loras, hub=None) -> str:
    with pytest.raises(CheckpointError) as caught:
        locate(model, loras=loras, hub=hub or FolderHub({}, Path("nowhere")))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("scale", ["nan", "inf", "-inf", "1e999", "strong", "0.5x", "", "1001", "1,5"])
def test_a_scale_that_is_no_number_is_refused_before_the_file_is_looked_for(model, scale):
    assert "The scale of a LoRA is a number from -1000 to 1000" in refused(model, f"missing.safetensors:{scale}")


@pytest.mark.parametrize("name", ["style.bin", "style.pt", "style.ckpt", "style.pth"])
def test_pickles_are_refused_here_and_on_the_hub(model, tmp_path, name):
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / name).write_bytes(b"a pickle")
    hub = FolderHub({"owner/style": folder}, tmp_path / "cache")
    for text in (str(folder / name), str(folder), "owner/style", f"owner/style/{name}"):
        assert "stored as a pickle, which can run code" in refused(model, text, hub=hub)
    assert hub.fetched == []


def test_a_torn_or_disguised_file_is_refused_by_name(model, changes, tmp_path):
    path = Path(written(tmp_path / "style.safetensors", in_2023(changes)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "is cut off" in refused(model, str(path))
    path.write_bytes(whole[:50])
    assert "cut off inside its header" in refused(model, str(path))
    path.write_bytes(b"PK\x03\x04" + b"a pickle in a zip" * 10)
    assert "no safetensors file" in refused(model, str(path))
    path.write_bytes(b"")
    assert str(path) in refused(model, str(path))


FOREIGN = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": "a LoRA for Stable Diffusion (",
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": "a LoRA for Stable Diffusion's text encoder (",
    "lora_prior_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": "also changes the prior's text encoder (",
    "bundle_emb.felt.clip_g": "also brings embeddings of its own (",
    "lora_prior_unet_blocks_2_attention_to_q.dora_scale": "an adapter of another kind (",
    "lora_prior_unet_blocks_99_attention_to_q.lora_up.weight": "which this prior does not have",
    "lora_prior_unet_down_blocks_0_1_channelwise_0.lora_up.weight": "which this prior does not have",
    "unet.down_blocks.0.attentions.0.processor.to_q_lora.up.weight": "a LoRA for Stable Diffusion (",
    "base_model.model.text_model.encoder.layers.0.q_proj.lora_A.weight": "a LoRA for a text encoder (",
    "transformer.blocks.0.attn.to_q.lora_A.weight": "a LoRA for a diffusion transformer (",
    "prior.blocks.2.attention.to_q.lokr_w1": "an adapter of another kind (",
    "prior.blocks.2.attention.to_q.lora_magnitude_vector": "an adapter of another kind (",
    "prior.blocks.99.attention.to_q.lora_A.weight": "which this prior does not have",
    "prior.blocks.2.attention.to_x.lora_A.weight": "which this prior does not have",
    "embedding.weight": "is no LoRA (it holds 'embedding.weight')",
}


@pytest.mark.parametrize("key", FOREIGN)
def test_a_lora_for_something_else_is_refused_with_its_reason(model, changes, tmp_path, key):
    path = written(tmp_path / "style.safetensors", in_peft(changes) | {key: torch.ones(2, 2)})
    message = refused(model, path)
    assert FOREIGN[key] in message
    assert repr(key) in message


def test_a_lora_for_a_wider_prior_is_refused_with_both_widths(model, base, changes, tmp_path):
    layer, (down, _) = next(iter(changes.items()))
    width = down.shape[1]
    wider = {layer: (torch.ones(RANK, 1536), torch.ones(1536, RANK))}
    message = refused(model, written(tmp_path / "style.safetensors", in_2023(wider)))
    assert f"is 1536 x 1536 there and {width} x {width} here" in message
    assert "--prior" in message


def test_half_a_pair_or_one_that_does_not_fit_is_refused(model, changes, tmp_path):
    tensors = in_peft(changes)
    first, second = list(tensors)[:2]
    lonely = written(tmp_path / "a.safetensors", {name: t for name, t in tensors.items() if name != second})
    assert f"holds {first!r} without its counterpart" in refused(model, lonely)
    uneven = written(tmp_path / "b.safetensors", tensors | {second: torch.ones(tensors[second].shape[0], RANK + 1)})
    assert "do not fit" in refused(model, uneven)
    twice = written(tmp_path / "c.safetensors", tensors | in_2023(changes))
    assert "twice" in refused(model, twice)
    assert "holds nothing" in refused(model, written(tmp_path / "d.safetensors", {}))


@pytest.mark.parametrize(
    ("text", "says"), [("", "empty"), ("no/such/file.txt", "is no .safetensors file"), ("a" * 2000, "unreadable")]
)
def test_a_text_that_means_nothing_is_refused(model, text, says):
    assert says in refused(model, text)


def test_a_missing_file_is_not_looked_for_on_the_hub(model):
    hub = FolderHub({}, Path("nowhere"))
    for text in ("missing.safetensors", "loras/missing.safetensors", "/nowhere/missing.safetensors"):
        assert "There is no LoRA" in refused(model, text, hub=hub)


def test_more_than_eight_are_refused(model):
    assert "at most 8" in refused(model, *["x.safetensors"] * 9)


def test_numbers_that_are_none_are_refused_while_loading(model, changes, tmp_path):
    tensors = in_2023(changes)
    spoilt = next(iter(tensors))
    path = written(tmp_path / "style.safetensors", tensors | {spoilt: torch.full_like(tensors[spoilt], torch.nan)})
    with pytest.raises(CheckpointError, match="values that are no numbers"):
        prior_of(model, path)


def test_a_scale_that_leaves_the_range_of_float16_is_refused_while_loading(model, changes, tmp_path):
    path = written(tmp_path / "style.safetensors", {n: 1000 * t for n, t in in_2023(changes).items()})
    located = locate(model, loras=[f"{path}:100"])
    with pytest.raises(CheckpointError, match="--dtype float32"):
        load_parts(located, decide("cpu", "float16"))


def test_a_mistake_is_answered_in_one_line_without_torch(model, tmp_path):
    program = (
        "import sys; from wuerst_demo.cli import main; code = main(sys.argv[1:], {});"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    path = written(tmp_path / "style.safetensors", {"lora_unet_x.lora_down.weight": torch.ones(1, 1)})
    words = ["generate", "a cat", "--model", model, "--output", str(tmp_path / "out"), "--lora", path]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.count("\n") == 1
    assert "Stable Diffusion" in done.stderr
