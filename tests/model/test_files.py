"""Which files make a cascade, and every way in which they can be wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from tests.model.fakes import COMMIT, FolderHub
from tests.model.machines import Elsewhere
from wuerst_demo.errors import CheckpointError, PlacementError
from wuerst_demo.model.files import locate
from wuerst_demo.model.placement import foresee

WEIGHTS = "diffusion_pytorch_model.safetensors"
DECODER, PRIOR = "warp-ai/wuerstchen", "warp-ai/wuerstchen-prior"
BARE_PRIOR, BARE_VQGAN = "warp-ai/wuerstchen-prior-model-base", "madebyollin/stage-a-ft-hq"


@pytest.fixture
def copy(checkpoint_2023, tmp_path) -> Path:
    """The 2023 checkpoint in a folder that may be spoilt."""
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


def test_a_folder_finds_its_prior_beside_it(located, checkpoint_2023):
    assert located.prior.source.folder == checkpoint_2023 / "wuerstchen-prior"
    assert (located.name, located.revision) == ("wuerstchen", "")
    assert located.prior_tokenizer == checkpoint_2023 / "wuerstchen-prior/tokenizer"
    assert located.decoder_tokenizer == checkpoint_2023 / "wuerstchen/tokenizer"


def test_the_four_numbers_are_those_of_the_two_indexes(copy):
    for folder, changes in (
        ("wuerstchen-prior", {"latent_mean": 40, "latent_std": 2.0, "resolution_multiple": 32.0}),
        ("wuerstchen", {"latent_dim_scale": 8.0}),
    ):
        edit(copy / folder / "model_index.json", **changes)
    found = locate(str(copy / "wuerstchen"))
    numbers = (found.latent_mean, found.latent_std, found.resolution_multiple, found.latent_dim_scale)
    assert numbers == (40.0, 2.0, 32.0, 8.0)


def test_sizes_and_types_are_those_of_the_files(located, checkpoint_2023):
    arrays = [each for path in checkpoint_2023.rglob("*.safetensors") for each in load_file(path).values()]
    assert located.parameters == sum(array.size for array in arrays)
    assert located.stored_bytes == sum(array.nbytes for array in arrays)
    assert located.stored_dtypes == ("float32",)


def test_a_prior_can_be_given_as_a_folder(copy):
    shutil.move(copy / "wuerstchen-prior", copy / "another")
    found = locate(str(copy / "wuerstchen"), str(copy / "another"))
    assert found.name == "wuerstchen + another"
    assert found.prior_text_encoder.source.folder == copy / "another"


def test_a_bare_prior_in_a_folder_borrows_the_text_encoder_of_the_prior_beside_the_decoder(copy):
    shutil.copytree(copy / "wuerstchen-prior/prior", copy / "bare")
    shutil.rmtree(copy / "wuerstchen-prior/prior")
    found = locate(str(copy / "wuerstchen"), str(copy / "bare"))
    assert found.prior.source.folder == copy / "bare"
    assert found.prior_text_encoder.source.folder == copy / "wuerstchen-prior"


@pytest.mark.parametrize("bare", [True, False])
def test_another_vqgan_is_bare_or_in_a_folder_of_its_own(bare, copy):
    target = copy / "other" if bare else copy / "other/vqgan"
    shutil.copytree(copy / "wuerstchen/vqgan", target)
    shutil.rmtree(copy / "wuerstchen/vqgan")
    found = locate(str(copy / "wuerstchen"), vqgan=str(copy / "other"))
    assert found.vqgan.weights[0].path == target / WEIGHTS
    assert found.name == "wuerstchen + other"


def test_weights_may_be_in_shards(copy):
    shard(copy / "wuerstchen/decoder", "diffusion_pytorch_model")
    shard(copy / "wuerstchen-prior/text_encoder", "model")
    found = locate(str(copy / "wuerstchen"))
    assert [len(part.weights) for part in found.parts] == [1, 2, 2, 1, 1]
    assert found.parameters == locate(str(Path(__file__).parents[1] / "fixtures/checkpoint-2023/wuerstchen")).parameters


def test_pickles_and_code_beside_the_weights_are_not_looked_at(copy):
    for folder in ("wuerstchen", "wuerstchen-prior"):
        add_pickles(copy / folder)
        edit(copy / folder / "model_index.json", custom_pipeline="modeling_evil", _class_name=["modeling_evil", "Evil"])
    edit(copy / "wuerstchen/text_encoder/config.json", auto_map={"AutoModel": "modeling_evil.Evil"})
    found = locate(str(copy / "wuerstchen"))
    assert {file.path.suffix for part in found.parts for file in part.weights} == {".safetensors"}
    assert "auto_map" not in found.decoder_text_encoder.config


# The Hub


def test_a_hub_name_fetches_what_is_needed_and_nothing_else(hub):
    found = locate(DECODER, hub=hub)
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


def test_a_hub_is_asked_twice_a_repository_for_the_small_files_and_for_the_rest(hub):
    locate(DECODER, hub=hub)
    assert hub.asked == 4


def test_small_files_are_fetched_and_checked_before_any_weights(hub):
    edit(hub.repositories[PRIOR] / "prior/config.json", c_in=8)
    with pytest.raises(CheckpointError, match="do not belong together"):
        locate(DECODER, hub=hub)
    assert not [name for _, _, name in hub.fetched if name.endswith(".safetensors")]


def test_what_this_machine_lacks_is_said_before_any_weights_are_fetched(hub):
    with pytest.raises(PlacementError, match="leave --device out"):
        locate(DECODER, hub=hub, ready=partial(foresee, device="cuda", machine=Elsewhere()))
    assert "prior/config.json" in hub.fetched_from(PRIOR)
    assert not [name for _, _, name in hub.fetched if name.endswith(".safetensors")]
    assert locate(DECODER, hub=hub, ready=foresee).name == DECODER


def test_a_bare_prior_fetches_the_text_encoder_of_the_default_prior_without_its_weights(hub):
    found = locate(DECODER, BARE_PRIOR, hub=hub)
    assert hub.fetched_from(BARE_PRIOR) == {"config.json", WEIGHTS}
    assert "text_encoder/model.safetensors" in hub.fetched_from(PRIOR)
    assert not [name for name in hub.fetched_from(PRIOR) if name.startswith("prior/")]
    assert found.name == f"{DECODER} + {BARE_PRIOR}"
    assert found.prior_text_encoder.source.repository == PRIOR


def test_another_vqgan_takes_the_place_of_the_own_one(hub):
    found = locate(DECODER, vqgan=BARE_VQGAN, hub=hub)
    assert hub.fetched_from(BARE_VQGAN) == {"config.json", WEIGHTS}
    assert not [name for name in hub.fetched_from(DECODER) if name.startswith("vqgan/")]
    assert found.vqgan.source.repository == BARE_VQGAN


def test_shards_are_fetched_with_their_index(hub):
    shard(hub.repositories[PRIOR] / "prior", "diffusion_pytorch_model")
    assert len(locate(DECODER, hub=hub).prior.weights) == 2
    names = {name for name in hub.fetched_from(PRIOR) if name.startswith("prior/")}
    assert {Path(name).suffix for name in names} == {".json", ".safetensors"}
    assert len(names) == 4


def test_a_revision_is_asked_for_as_it_was_given_and_holds_for_its_repository_alone(hub):
    locate(f"{DECODER}@v1", f"{PRIOR}@v2", hub=hub)
    assert {(name, revision) for name, revision, _ in hub.fetched} == {(DECODER, "v1"), (PRIOR, "v2")}


def test_a_hub_prior_goes_with_a_folders_decoder(hub, copy):
    shutil.copytree(copy / "wuerstchen", copy / "elsewhere/wuerstchen")
    found = locate(str(copy / "elsewhere/wuerstchen"), hub=hub)
    assert found.prior.source.repository == PRIOR


def test_a_name_the_hub_does_not_have_is_refused_as_the_hub_puts_it(hub):
    with pytest.raises(CheckpointError, match="There is no warp-ai/wurstchen"):
        locate("warp-ai/wurstchen", hub=hub)


# Refusals


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


SPOILT = {
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
        "says 'StableCascadeUNet' where the decoder has to be a WuerstchenDiffNeXt",
    ),
    "another text encoder": (
        lambda at: edit(at / "wuerstchen/text_encoder/config.json", architectures=["T5EncoderModel"]),
        "says 'T5EncoderModel' where the decoder's text encoder has to be a CLIPTextModel",
    ),
    "no JSON": (lambda at: cut(at / "wuerstchen/vqgan/config.json", 40), r"vqgan/config.json is no readable JSON"),
    "a tokenizer cut off": (
        lambda at: cut(at / "wuerstchen-prior/tokenizer/vocab.json", 1000),
        "tokenizer/vocab.json is no readable JSON",
    ),
    "JSON but no object": (lambda at: (at / "wuerstchen/model_index.json").write_text("[]"), "holds no JSON object"),
    "deep JSON": (
        lambda at: (at / "wuerstchen/model_index.json").write_text("[" * 100_000),
        "is no readable JSON",
    ),
    "no UTF-8": (lambda at: (at / "wuerstchen/model_index.json").write_bytes(b'{"\xff": 1}'), "is no readable JSON"),
    "an impossible number": (
        lambda at: edit(at / "wuerstchen-prior/model_index.json", resolution_multiple=float("nan")),
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
        "does not name all tensors",
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
        r"prior gives 8 channels and the decoder takes 16: .* choose another --prior",
    ),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_folder_is_refused_in_one_line(how, copy):
    spoil, words = SPOILT[how]
    spoil(copy)
    with pytest.raises(CheckpointError, match=words) as raised:
        locate(str(copy / "wuerstchen"))
    assert "\n" not in str(raised.value)


def test_only_pickles_on_the_hub_are_refused_before_anything_is_fetched(hub):
    (hub.repositories[DECODER] / "decoder" / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="only as pickles"):
        locate(DECODER, hub=hub)
    assert hub.fetched == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "wuerstchen-prior"}, "is a prior, not a decoder: give it with --prior"),
        ({"model": "wuerstchen", "prior": "wuerstchen"}, "is a decoder, not a prior: give it with --model"),
        ({"model": "wuerstchen-prior/prior"}, "is a single network: give a prior with --prior"),
        ({"model": "wuerstchen", "prior": "wuerstchen/vqgan"}, "says 'PaellaVQModel' where the prior has to be"),
        ({"model": "wuerstchen", "vqgan": "wuerstchen-prior"}, "no config.json for the VQGAN"),
        (
            {"model": "wuerstchen", "vqgan": "wuerstchen-prior/prior"},
            "'WuerstchenPrior' where the VQGAN has to be",
        ),
    ],
)
def test_one_kind_given_for_another_is_refused_with_the_right_option(given, words, checkpoint_2023):
    with pytest.raises(CheckpointError, match=words):
        locate(**{option: str(checkpoint_2023 / folder) for option, folder in given.items()})


def test_a_folder_that_cannot_be_read_is_refused(copy):
    (copy / "wuerstchen/decoder/config.json").unlink()
    (copy / "wuerstchen/decoder/config.json").symlink_to(copy / "wuerstchen/decoder/config.json")
    with pytest.raises(CheckpointError, match=r"decoder/config\.json"):
        locate(str(copy / "wuerstchen"))


@pytest.mark.parametrize("model", ["wurstchen", "/nowhere", "tests"])
def test_a_wrong_name_is_answered_without_torch(model):
    program = f"""
import sys
from wuerst_demo.errors import CheckpointError
from wuerst_demo.model.files import locate
from wuerst_demo.model.placement import foresee
try:
    locate({model!r}, ready=foresee)
except CheckpointError:
    print(sorted({{"torch", "diffusers", "transformers", "numpy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
