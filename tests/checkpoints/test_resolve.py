"""Resolution of names and folders to files, and every kind of damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from tests.fakes.devices import FakeHardware
from tests.fakes.hub import COMMIT, FolderHub
from wuerst_demo.checkpoints.network_config import LatentScaling
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import check_options
from wuerst_demo.errors import CheckpointError, PlacementError
from wuerst_demo.placement_options import PlacementOptions

WEIGHTS = "diffusion_pytorch_model.safetensors"
DECODER, PRIOR = "warp-ai/wuerstchen", "warp-ai/wuerstchen-prior"
BARE_PRIOR, BARE_VQGAN = "warp-ai/wuerstchen-prior-model-base", "madebyollin/stage-a-ft-hq"


@pytest.fixture
def copy(checkpoint_2023, tmp_path) -> Path:
    """The 2023 checkpoint in a folder that may be changed."""
    for name in ("wuerstchen", "wuerstchen-prior"):
        shutil.copytree(checkpoint_2023 / name, tmp_path / name)
    return tmp_path


def add_pickles(folder: Path) -> None:
    """Puts a pickled twin and some code beside all weights, as the Hub's repositories have them."""
    for path in list(folder.rglob("*.safetensors")):
        path.with_suffix(".bin").write_bytes(b"a pickle")
        (path.parent / "modeling_evil.py").write_text("raise SystemExit")


def shard(folder: Path, stem: str) -> None:
    """Splits the weights of a folder into two files and an index."""
    tensors = load_file(folder / f"{stem}.safetensors")
    names = sorted(tensors)
    half = len(names) // 2
    files = [f"{stem}-0000{k}-of-00002.safetensors" for k in (1, 2)]
    table = dict.fromkeys(names[:half], files[0]) | dict.fromkeys(names[half:], files[1])
    for file in files:
        save_file({name: tensors[name] for name in names if table[name] == file}, folder / file)
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    (folder / f"{stem}.safetensors").unlink()


@pytest.fixture
def hub(copy, tmp_path) -> FolderHub:
    """A Hub with the two repositories, a bare prior and a bare VQGAN, each with pickled twins and code in it."""
    repositories = {DECODER: copy / "wuerstchen", PRIOR: copy / "wuerstchen-prior"}
    for name, folder in ((BARE_PRIOR, "wuerstchen-prior/prior"), (BARE_VQGAN, "wuerstchen/vqgan")):
        repositories[name] = copy / name.replace("/", "--")
        shutil.copytree(copy / folder, repositories[name])
    for folder in repositories.values():
        add_pickles(folder)
    return FolderHub(repositories, tmp_path / "cache")


# Folders


def test_the_prior_of_a_folder_is_its_sibling(resolved, checkpoint_2023):
    assert resolved.prior.source.folder == checkpoint_2023 / "wuerstchen-prior"
    assert (resolved.name, resolved.revision) == ("wuerstchen", "")
    assert resolved.prior_tokenizer == checkpoint_2023 / "wuerstchen-prior/tokenizer"
    assert resolved.decoder_tokenizer == checkpoint_2023 / "wuerstchen/tokenizer"


def test_the_latent_scaling_is_that_of_the_two_model_indexes(copy):
    for folder, changes in (
        ("wuerstchen-prior", {"latent_mean": 40, "latent_std": 2.0, "resolution_multiple": 32.0}),
        ("wuerstchen", {"latent_dim_scale": 8.0}),
    ):
        edit(copy / folder / "model_index.json", **changes)
    found = resolve_checkpoint(str(copy / "wuerstchen"))
    assert found.scaling == LatentScaling(40.0, 2.0, 32.0, 8.0)


def test_a_prior_can_be_a_folder(copy):
    shutil.move(copy / "wuerstchen-prior", copy / "another")
    found = resolve_checkpoint(str(copy / "wuerstchen"), str(copy / "another"))
    assert found.name == "wuerstchen + another"
    assert found.prior_text_encoder.source.folder == copy / "another"


def test_a_bare_prior_uses_the_text_encoder_of_the_decoders_prior(copy):
    shutil.copytree(copy / "wuerstchen-prior/prior", copy / "bare")
    shutil.rmtree(copy / "wuerstchen-prior/prior")
    found = resolve_checkpoint(str(copy / "wuerstchen"), str(copy / "bare"))
    assert found.prior.source.folder == copy / "bare"
    assert found.prior_text_encoder.source.folder == copy / "wuerstchen-prior"


@pytest.mark.parametrize("bare", [True, False])
def test_another_vqgan_is_bare_or_in_a_subfolder(bare, copy):
    target = copy / "other" if bare else copy / "other/vqgan"
    shutil.copytree(copy / "wuerstchen/vqgan", target)
    shutil.rmtree(copy / "wuerstchen/vqgan")
    found = resolve_checkpoint(str(copy / "wuerstchen"), vqgan=str(copy / "other"))
    assert found.vqgan.weights[0].path == target / WEIGHTS
    assert found.name == "wuerstchen + other"


def test_weights_may_be_in_shards(copy):
    shard(copy / "wuerstchen/decoder", "diffusion_pytorch_model")
    shard(copy / "wuerstchen-prior/text_encoder", "model")
    found = resolve_checkpoint(str(copy / "wuerstchen"))
    assert [len(part.weights) for part in found.networks] == [1, 2, 2, 1, 1]
    assert (
        found.parameters
        == resolve_checkpoint(str(Path(__file__).parents[1] / "fixtures/checkpoint-2023/wuerstchen")).parameters
    )


def test_pickles_and_code_beside_the_weights_are_ignored(copy):
    for folder in ("wuerstchen", "wuerstchen-prior"):
        add_pickles(copy / folder)
        edit(copy / folder / "model_index.json", custom_pipeline="modeling_evil", _class_name=["modeling_evil", "Evil"])
    edit(copy / "wuerstchen/text_encoder/config.json", auto_map={"AutoModel": "modeling_evil.Evil"})
    found = resolve_checkpoint(str(copy / "wuerstchen"))
    assert {file.path.suffix for part in found.networks for file in part.weights} == {".safetensors"}
    assert "auto_map" not in found.decoder_text_encoder.config


# The Hub


def test_only_the_needed_files_of_a_hub_name_are_fetched(hub):
    found = resolve_checkpoint(DECODER, hub=hub)
    tokenizer = {"tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"}
    text = {"text_encoder/config.json", "text_encoder/model.safetensors", *(f"tokenizer/{name}" for name in tokenizer)}
    common = {"model_index.json", "scheduler/scheduler_config.json", *text}
    assert hub.fetched_from(DECODER) == common | {
        "README.md",
        "decoder/config.json",
        f"decoder/{WEIGHTS}",
        "vqgan/config.json",
        f"vqgan/{WEIGHTS}",
    }
    assert hub.fetched_from(PRIOR) == common | {"prior/config.json", f"prior/{WEIGHTS}"}
    assert (found.name, found.revision, found.prior.revision) == (DECODER, COMMIT, COMMIT)
    assert found.prior.source.repository == PRIOR


def test_each_repository_is_fetched_in_two_rounds(hub):
    resolve_checkpoint(DECODER, hub=hub)
    assert hub.fetch_count == 4


def test_small_files_are_verified_before_any_weights_are_fetched(hub):
    edit(hub.repositories[PRIOR] / "prior/config.json", c_in=8)
    with pytest.raises(CheckpointError, match="do not belong together"):
        resolve_checkpoint(DECODER, hub=hub)
    assert not [name for _, _, name in hub.fetched if name.endswith(".safetensors")]


def test_an_invalid_demo_json_is_rejected_before_any_weights_are_fetched(hub):
    (hub.repositories[DECODER] / "demo.json").write_text('{"title": 3}')
    with pytest.raises(CheckpointError, match=r"demo\.json cannot be used"):
        resolve_checkpoint(DECODER, hub=hub)
    assert not [name for _, _, name in hub.fetched if name.endswith(".safetensors")]


def test_an_unavailable_device_is_rejected_before_any_weights_are_fetched(hub):
    with pytest.raises(PlacementError, match="leave --device out"):
        resolve_checkpoint(
            DECODER, hub=hub, ready=partial(check_options, PlacementOptions(device="cuda"), hardware=FakeHardware())
        )
    assert "prior/config.json" in hub.fetched_from(PRIOR)
    assert not [name for _, _, name in hub.fetched if name.endswith(".safetensors")]
    assert resolve_checkpoint(DECODER, hub=hub, ready=partial(check_options, PlacementOptions())).name == DECODER


def test_a_bare_hub_prior_fetches_only_the_text_encoder_of_the_default_prior(hub):
    found = resolve_checkpoint(DECODER, BARE_PRIOR, hub=hub)
    assert hub.fetched_from(BARE_PRIOR) == {"config.json", WEIGHTS}
    assert "text_encoder/model.safetensors" in hub.fetched_from(PRIOR)
    assert not [name for name in hub.fetched_from(PRIOR) if name.startswith("prior/")]
    assert found.name == f"{DECODER} + {BARE_PRIOR}"
    assert found.prior_text_encoder.source.repository == PRIOR


def test_another_vqgan_replaces_that_of_the_decoder(hub):
    found = resolve_checkpoint(DECODER, vqgan=BARE_VQGAN, hub=hub)
    assert hub.fetched_from(BARE_VQGAN) == {"config.json", WEIGHTS}
    assert not [name for name in hub.fetched_from(DECODER) if name.startswith("vqgan/")]
    assert found.vqgan.source.repository == BARE_VQGAN


def test_shards_are_fetched_with_their_index(hub):
    shard(hub.repositories[PRIOR] / "prior", "diffusion_pytorch_model")
    assert len(resolve_checkpoint(DECODER, hub=hub).prior.weights) == 2
    names = {name for name in hub.fetched_from(PRIOR) if name.startswith("prior/")}
    assert {Path(name).suffix for name in names} == {".json", ".safetensors"}
    assert len(names) == 4


def test_a_revision_applies_to_its_repository_alone(hub):
    resolve_checkpoint(f"{DECODER}@v1", f"{PRIOR}@v2", hub=hub)
    assert {(name, revision) for name, revision, _ in hub.fetched} == {(DECODER, "v1"), (PRIOR, "v2")}


def test_a_decoder_in_a_folder_can_have_a_hub_prior(hub, copy):
    shutil.copytree(copy / "wuerstchen", copy / "elsewhere/wuerstchen")
    found = resolve_checkpoint(str(copy / "elsewhere/wuerstchen"), hub=hub)
    assert found.prior.source.repository == PRIOR


def test_a_name_unknown_to_the_hub_is_rejected_with_the_hubs_message(hub):
    with pytest.raises(CheckpointError, match="There is no warp-ai/wurstchen"):
        resolve_checkpoint("warp-ai/wurstchen", hub=hub)


# Errors


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def only_pickles(folder: Path, suffix: str) -> None:
    weights = next(folder.glob("*.safetensors"))
    weights.rename(weights.with_suffix(suffix))


def cut(path: Path, left: int) -> None:
    path.write_bytes(path.read_bytes()[:left])


def overwrite(path: Path, start: int, content: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:start] + content + whole[start + len(content) :])


DAMAGE = {
    "an empty folder": (
        lambda at: [shutil.rmtree(at / "wuerstchen"), (at / "wuerstchen").mkdir()],
        "no decoder/config",
    ),
    "no decoder": (lambda at: shutil.rmtree(at / "wuerstchen/decoder"), "no decoder/config.json for the decoder"),
    "no VQGAN": (lambda at: shutil.rmtree(at / "wuerstchen/vqgan"), "no vqgan/config.json for the VQGAN"),
    "no weights": (lambda at: (at / "wuerstchen/decoder" / WEIGHTS).unlink(), f"no decoder/{WEIGHTS}"),
    "no index": (lambda at: (at / "wuerstchen/model_index.json").unlink(), "no model_index.json"),
    "no index of the prior": (lambda at: (at / "wuerstchen-prior/model_index.json").unlink(), "no model_index.json"),
    "no text encoder": (lambda at: shutil.rmtree(at / "wuerstchen-prior/text_encoder"), "no text_encoder/config.json"),
    "no tokenizer": (lambda at: shutil.rmtree(at / "wuerstchen/tokenizer"), "no tokenizer/vocab.json"),
    "half a tokenizer": (
        lambda at: [(at / "wuerstchen/tokenizer" / name).unlink() for name in ("merges.txt", "tokenizer.json")],
        "no tokenizer/merges.txt",
    ),
    "no prior": (
        lambda at: [shutil.rmtree(at / "wuerstchen-prior"), (at / "wuerstchen/README.md").unlink()],
        "does not say which prior .* --prior",
    ),
    "a bare prior's text encoder missing": (
        lambda at: [
            shutil.copy(at / "wuerstchen-prior/prior/config.json", at / "wuerstchen-prior"),
            shutil.rmtree(at / "wuerstchen-prior/prior"),
        ],
        f"no {WEIGHTS} for the prior",
    ),
    "only .bin": (lambda at: only_pickles(at / "wuerstchen/decoder", ".bin"), "only as pickles.*convert them"),
    "only .pt": (lambda at: only_pickles(at / "wuerstchen-prior/prior", ".pt"), "only as pickles.*convert them"),
    "only .ckpt": (lambda at: only_pickles(at / "wuerstchen/text_encoder", ".ckpt"), "only as pickles.*convert them"),
    "another class": (
        lambda at: edit(at / "wuerstchen/decoder/config.json", _class_name="StableCascadeUNet"),
        "names 'StableCascadeUNet' where the decoder has to be a WuerstchenDiffNeXt",
    ),
    "another text encoder": (
        lambda at: edit(at / "wuerstchen/text_encoder/config.json", architectures=["T5EncoderModel"]),
        "names 'T5EncoderModel' where the decoder's text encoder has to be a CLIPTextModel",
    ),
    "no JSON": (lambda at: cut(at / "wuerstchen/vqgan/config.json", 40), r"vqgan/config.json is not valid JSON"),
    "a tokenizer cut off": (
        lambda at: cut(at / "wuerstchen-prior/tokenizer/vocab.json", 1000),
        "tokenizer/vocab.json is not valid JSON",
    ),
    "JSON but no object": (lambda at: (at / "wuerstchen/model_index.json").write_text("[]"), "is not a JSON object"),
    "deep JSON": (
        lambda at: (at / "wuerstchen/model_index.json").write_text("[" * 100_000),
        "is not valid JSON",
    ),
    "no UTF-8": (lambda at: (at / "wuerstchen/model_index.json").write_bytes(b'{"\xff": 1}'), "is not valid JSON"),
    "an impossible number": (
        lambda at: edit(at / "wuerstchen-prior/model_index.json", resolution_multiple=-42.67),
        "impossible 'resolution_multiple'",
    ),
    "another schedule": (
        lambda at: edit(at / "wuerstchen/scheduler/scheduler_config.json", scaler=2.0),
        "another noise schedule",
    ),
    "cut off": (
        lambda at: cut(at / "wuerstchen/vqgan" / WEIGHTS, 50_000),
        rf"vqgan/{WEIGHTS} is cut off: it has 50,000",
    ),
    "cut off in the header": (lambda at: cut(at / "wuerstchen/vqgan" / WEIGHTS, 100), f"{WEIGHTS} is cut off inside"),
    "a corrupted header": (
        lambda at: overwrite(at / "wuerstchen-prior/prior" / WEIGHTS, 30, b"\xff\x00\xff"),
        f"prior/{WEIGHTS} has a damaged header",
    ),
    "a pointer": (
        lambda at: (at / "wuerstchen/vqgan" / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "a shard missing": (
        lambda at: [
            shard(at / "wuerstchen/decoder", "diffusion_pytorch_model"),
            next((at / "wuerstchen/decoder").glob("*-00002-of-*")).unlink(),
        ],
        "which lacks it",
    ),
    "an index that leaves the folder": (
        lambda at: [
            shard(at / "wuerstchen/decoder", "diffusion_pytorch_model"),
            edit(
                at / "wuerstchen/decoder" / f"{WEIGHTS}.index.json",
                weight_map={"embedding.1.weight": "../vqgan/diffusion_pytorch_model.safetensors"},
            ),
        ],
        "which lacks it",
    ),
    "an index that leaves tensors out": (
        lambda at: [
            shard(at / "wuerstchen/decoder", "diffusion_pytorch_model"),
            edit(at / "wuerstchen/decoder" / f"{WEIGHTS}.index.json", weight_map={}),
        ],
        "does not list all tensors",
    ),
    "an index without a map": (
        lambda at: [
            shard(at / "wuerstchen/decoder", "diffusion_pytorch_model"),
            (at / "wuerstchen/decoder" / f"{WEIGHTS}.index.json").write_text("{}"),
        ],
        "has no weight_map",
    ),
    "a prior of another family": (
        lambda at: edit(at / "wuerstchen-prior/prior/config.json", c_in=8),
        r"prior outputs 8 channels and the decoder expects 16: .* choose another --prior",
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_folder_is_rejected_in_one_line(how, copy):
    damage, words = DAMAGE[how]
    damage(copy)
    with pytest.raises(CheckpointError, match=words) as raised:
        resolve_checkpoint(str(copy / "wuerstchen"))
    assert "\n" not in str(raised.value)


def test_only_pickles_on_the_hub_are_rejected_before_anything_is_fetched(hub):
    (hub.repositories[DECODER] / "decoder" / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="only as pickles"):
        resolve_checkpoint(DECODER, hub=hub)
    assert hub.fetched == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "wuerstchen-prior"}, "is a prior, not a decoder: give it with --prior"),
        ({"model": "wuerstchen", "prior": "wuerstchen"}, "is a decoder, not a prior: give it with --model"),
        ({"model": "wuerstchen-prior/prior"}, "is a single network: give a prior with --prior"),
        ({"model": "wuerstchen", "prior": "wuerstchen/vqgan"}, "names 'PaellaVQModel' where the prior has to be"),
        ({"model": "wuerstchen", "vqgan": "wuerstchen-prior"}, "no config.json for the VQGAN"),
        (
            {"model": "wuerstchen", "vqgan": "wuerstchen-prior/prior"},
            "'WuerstchenPrior' where the VQGAN has to be",
        ),
    ],
)
def test_one_kind_given_for_another_is_rejected_with_the_right_option(given, words, checkpoint_2023):
    with pytest.raises(CheckpointError, match=words):
        resolve_checkpoint(**{option: str(checkpoint_2023 / folder) for option, folder in given.items()})


def test_an_unreadable_folder_is_rejected(copy):
    (copy / "wuerstchen/decoder/config.json").unlink()
    (copy / "wuerstchen/decoder/config.json").symlink_to(copy / "wuerstchen/decoder/config.json")
    with pytest.raises(CheckpointError, match=r"decoder/config\.json"):
        resolve_checkpoint(str(copy / "wuerstchen"))


@pytest.mark.parametrize("model", ["wurstchen", "/nowhere", "tests"])
def test_a_wrong_name_is_rejected_without_importing_torch(model):
    program = f"""
import sys
from wuerst_demo.checkpoints.network_config import LatentScaling
from wuerst_demo.errors import CheckpointError
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import check_options
from wuerst_demo.placement_options import PlacementOptions
try:
    resolve_checkpoint({model!r}, ready=lambda: check_options(PlacementOptions()))
except CheckpointError:
    print(sorted({{"torch", "diffusers", "transformers", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_weights_that_exist_only_in_half_precision_are_used(copy, variant):
    whole = resolve_checkpoint(str(copy / "wuerstchen"))
    for path in list(copy.rglob("*.safetensors")):
        path.rename(path.with_suffix(f".{variant}.safetensors"))
    half = resolve_checkpoint(str(copy / "wuerstchen"))
    assert half.parameters == whole.parameters
    assert all(file.path.name.endswith(f".{variant}.safetensors") for part in half.networks for file in part.weights)


@pytest.mark.parametrize("name", ["{stem}.fp16-0000{k}-of-00002", "{stem}-0000{k}-of-00002.fp16"])
def test_shards_in_half_precision_are_used_and_full_precision_comes_first(copy, name):
    folder, stem = copy / "wuerstchen/decoder", "diffusion_pytorch_model"
    whole = (folder / WEIGHTS).read_bytes()
    shard(folder, stem)
    index = folder / f"{stem}.safetensors.index.json"
    text = index.read_text()
    for k in (1, 2):
        old, new = f"{stem}-0000{k}-of-00002.safetensors", name.format(stem=stem, k=k) + ".safetensors"
        (folder / old).rename(folder / new)
        text = text.replace(old, new)
    index.unlink()
    (folder / f"{stem}.safetensors.index.fp16.json").write_text(text)
    assert len(resolve_checkpoint(str(copy / "wuerstchen")).decoder.weights) == 2
    (folder / WEIGHTS).write_bytes(whole)
    assert [file.path.name for file in resolve_checkpoint(str(copy / "wuerstchen")).decoder.weights] == [WEIGHTS]


@pytest.mark.parametrize("number", ["1e-320", "0", "1e400", "1" + "0" * 400, "NaN", "true", '"42"'])
def test_an_impossible_resolution_multiple_is_rejected(copy, number):
    index = copy / "wuerstchen-prior/model_index.json"
    index.write_text(f'{{"_class_name": "WuerstchenPriorPipeline", "resolution_multiple": {number}}}')
    with pytest.raises(CheckpointError, match=r"impossible 'resolution_multiple'|is not valid JSON"):
        resolve_checkpoint(str(copy / "wuerstchen"))


def test_a_config_with_more_layers_than_tensors_is_rejected_before_it_is_built(copy):
    config = copy / "wuerstchen-prior/prior/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"depth": 1024}))
    with pytest.raises(CheckpointError, match="asks for more layers than its weights have"):
        resolve_checkpoint(str(copy / "wuerstchen"))
