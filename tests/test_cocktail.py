"""The shipped cocktail: its size, its files, and images that show what the prompt says."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wuerst_demo.api import load
from wuerst_demo.checkpoints.manifest import checkpoint_fingerprint
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.bfloat16 import bfloat16_flags
from wuerst_demo.errors import InvalidRequest
from wuerst_demo.events import Progress, Result
from wuerst_demo.images.metadata import build_png_info, read_image_settings
from wuerst_demo.pipeline import latent_to_rgb
from wuerst_demo.redraw_mask import encode_mask
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.data.vocabulary import THINGS
from wuerst_demo.training.finetune import adopt
from wuerst_demo.variation import Variation, decode_image_embeddings, encode_image_embeddings, recompose, redraw

COCKTAIL = Path(__file__).parents[1] / "assets" / "cocktail"
MIB = 2**20


@pytest.fixture(scope="module")
def wuerstchen():
    return load(dtype="float32")


def generate_pixels(wuerstchen, prompt, seed=1, **more):
    """The image (height, width, 3), float32 in 0..1."""
    (result,) = wuerstchen.generate(wuerstchen.request(prompt=prompt, seed=seed, **more))
    return np.asarray(result.image, np.float32) / 255


def read_back(result):
    """The settings in the file of a result."""
    file = io.BytesIO()
    info = build_png_info(result.request, image_embeddings=result.image_embeddings)
    result.image.save(file, "PNG", pnginfo=info)
    file.seek(0)
    return read_image_settings(file)


def assert_generated_again(wuerstchen, result):
    """A result is generated again, bit for bit, from what its file says."""
    [again] = wuerstchen.generate(wuerstchen.request(**read_back(result).values))
    assert again.request == result.request
    assert (again.image, again.image_embeddings) == (result.image, result.image_embeddings)


def corner_color(pixels):
    """The mean color of the upper corners, which show only background."""
    return np.concatenate([pixels[:48, :32], pixels[:48, -32:]]).mean((0, 1))


def is_thing(pixels):
    """Where (H, W) something other than a plain background is."""
    return np.abs(pixels - corner_color(pixels)).max(-1) > 0.25


def test_the_checkpoint_is_small_enough_for_a_repository_and_a_space():
    sizes = [path.stat().st_size for path in COCKTAIL.rglob("*") if path.is_file()]
    assert sum(sizes) < 64 * MIB
    assert max(sizes) < 10_000_000


def test_the_checkpoint_can_be_trained_further(tmp_path):
    adopt(TrainingConfig(tmp_path), COCKTAIL)
    stages = {path.stem for path in tmp_path.glob("*.pt")}
    assert stages == {"vqgan", "encoder", "together", "decoder", "words", "prior", "judge"}


@pytest.mark.slow
@pytest.mark.skipif(not bfloat16_flags(), reason="this CPU emulates bfloat16")
@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("steps", [{}, {"prior_steps": 1, "decoder_steps": 1}, {"sampler": "ddim", "prior_steps": 2}])
def test_pictures_in_bfloat16_are_those_in_float32_within_the_stated_tolerance(wuerstchen, steps, backend):
    """On average 2 of 255, and 99 of 100 values within 12 (docs/benchmarks.md)."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    rounded = load(dtype="bfloat16", device="cpu", backend=backend)
    for seed, prompt in enumerate(["a red apple on the grass", "pencil drawing of an owl in space", "a bat at night"]):
        pictures = [generate_pixels(each, prompt, seed, **steps) for each in (wuerstchen, rounded)]
        difference = 255 * np.abs(pictures[0] - pictures[1])
        assert difference.mean() <= 2
        assert np.quantile(difference, 0.99) <= 12


def test_readme_card_and_checkpoint_agree_on_the_number_of_things(wuerstchen):
    assert wuerstchen.info.object_count == len(THINGS)
    for text in (COCKTAIL.parents[1] / "README.md", COCKTAIL / "README.md", COCKTAIL / "wuerstchen" / "README.md"):
        assert re.search(rf"\b{len(THINGS)} (things|of them)|[Tt]hings, {len(THINGS)} ", text.read_text()), text


def test_images_have_the_requested_size(wuerstchen):
    for width, height in ((256, 256), (384, 256), (256, 384), (384, 384)):
        pixels = generate_pixels(wuerstchen, "a fish", width=width, height=height, prior_steps=2, decoder_steps=2)
        assert pixels.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("color", "rgb"), [("red", (1, 0, 0)), ("green", (0, 1, 0)), ("blue", (0, 0, 1)), ("yellow", (1, 1, 0))]
)
def test_the_prompt_decides_the_background(wuerstchen, color, rgb):
    corner = corner_color(generate_pixels(wuerstchen, f"a ghost on a {color} background"))
    wanted = np.array(rgb, bool)
    assert corner[wanted].min() > corner[~wanted].max() + 0.15


def test_day_is_brighter_than_night(wuerstchen):
    day, night = (generate_pixels(wuerstchen, f"a house on the grass {time}").mean() for time in ("by day", "at night"))
    assert day > night + 0.2


@pytest.mark.parametrize(
    ("thing", "rgb"), [("strawberry", (1, 0, 0)), ("tree", (0, 1, 0)), ("fish", (0, 0, 1)), ("heart", (1, 0, 0))]
)
def test_the_prompt_decides_the_thing(wuerstchen, thing, rgb):
    pixels = generate_pixels(wuerstchen, f"a {thing} on a white background")
    color, wanted = pixels[is_thing(pixels)].mean(0), np.array(rgb, bool)
    assert color[wanted].min() > color[~wanted].max()


def test_things_are_on_the_side_that_the_prompt_names(wuerstchen):
    """A red thing and a green one: which side is the redder tells where each stands."""
    halves = {}
    for prompt in ("a strawberry to the left of a cactus", "a cactus to the left of a strawberry"):
        pixels = generate_pixels(wuerstchen, f"{prompt} on a white background")
        redness = pixels[..., 0] - pixels[..., 1]
        halves[prompt] = redness[:, :128].mean() - redness[:, 128:].mean()
    left, right = halves.values()
    assert left > 0.05 > -0.05 > right


def test_black_and_white_images_have_hardly_any_color(wuerstchen):
    def saturation(prompt):
        pixels = generate_pixels(wuerstchen, prompt)
        return (pixels.max(-1) - pixels.min(-1)).mean()

    prompt = "a fox on the beach at sunset"
    assert saturation(f"{prompt}, black and white") < 0.3 * saturation(prompt)


def test_a_big_thing_is_larger_than_a_small_one(wuerstchen):
    def covered(prompt):
        return is_thing(generate_pixels(wuerstchen, prompt)).mean()

    assert covered("a big heart on a white background") > 1.5 * covered("a small heart on a white background")


def test_a_weighted_word_changes_the_image_in_its_direction(wuerstchen):
    light, plain, heavy = (
        generate_pixels(wuerstchen, f"a house on the grass {night}").mean()
        for night in ("(at night)0.4", "at night", "(at night)1.4")
    )
    assert light > plain
    assert light > heavy


def test_a_negative_prompt_removes_what_it_names(wuerstchen):
    """With guidance, which the default does without, and where the prompt leaves place and time open: without snow it
    gets darker, without night lighter."""
    guidance = {"prior_guidance": 2, "decoder_guidance": 3, "guidance_from": 0}
    without_snow, plain, without_night = (
        generate_pixels(wuerstchen, "a house", negative_prompt=away, **guidance).mean()
        for away in ("in the snow", "", "at night")
    )
    assert without_snow + 0.1 < plain < without_night - 0.1


def test_equal_requests_give_equal_images_and_other_seeds_others(wuerstchen):
    first, again, other = (generate_pixels(wuerstchen, "a car in the city", seed) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


def test_every_example_is_about_known_things(wuerstchen):
    card = (COCKTAIL / "wuerstchen" / "README.md").read_text()
    known = [line[2:].split(", ") for line in card.splitlines() if line.startswith("- ")]
    assert len(known) >= 20
    for example in wuerstchen.info.examples:
        assert any(name in example for names in known for name in names), example


def test_the_checkpoint_lists_the_words_it_was_trained_on(wuerstchen):
    assert len(wuerstchen.info.vocabulary) > wuerstchen.info.object_count >= 20
    assert {"cat", "fire truck", "snow", "night", "yellow", "background"} <= set(wuerstchen.info.vocabulary)
    seen = {word for phrase in wuerstchen.info.vocabulary for word in phrase.split()}
    for example in wuerstchen.info.examples:
        assert set(example.lower().replace(",", "").split()) <= seen, example


def test_the_shipped_preview_map_belongs_to_the_shipped_weights():
    """After training, `python -m wuerst_demo train colours` fits it again."""
    checkpoint = resolve_checkpoint(None)
    path, fingerprint = latent_to_rgb.bundled_map_path(checkpoint), checkpoint_fingerprint(checkpoint)
    assert latent_to_rgb.load_map(path, fingerprint) is not None


def test_the_last_preview_looks_like_the_image(wuerstchen):
    # Many steps, because with few of them the last preview may be one of an early step.
    steps = {"prior_steps": 40, "decoder_steps": 40}
    events = list(wuerstchen.run(wuerstchen.request(prompt="a fox in the snow at night", seed=5, **steps)))
    previews = {event.stage: event.preview for event in events if isinstance(event, Progress) and event.preview}
    (result,) = [event for event in events if isinstance(event, Result)]
    for stage, share in (("decoder", 0.5), ("prior", 0.9)):  # of the distance of the mean color
        shown = Image.open(io.BytesIO(previews[stage]))
        pixels = np.asarray(shown, float) / 255
        picture = np.asarray(result.image.resize(shown.size, Image.Resampling.BOX), float) / 255
        assert np.abs(pixels - picture).mean() < share * np.abs(picture - picture.mean((0, 1))).mean()


def test_a_variation_leaves_its_image_as_far_as_its_level_says(wuerstchen):
    prompts = ["a red apple", "a blue car at night", "a yellow boat on the sea", "a green tree in the snow"]
    distances = {level: [] for level in (0, 0.25, 0.5, 0.75, 1)}
    other_seeds = []
    for seed, prompt in enumerate(prompts):
        request = wuerstchen.request(prompt=prompt, seed=seed)
        [source] = wuerstchen.generate(request)
        pixels = np.asarray(source.image, np.float32)
        for level, found in distances.items():
            variation = Variation(source.image_embeddings, float(level), details_seed=seed)
            values = {"prompt": prompt, "seed": 100 + seed, "variation": variation}
            [varied] = wuerstchen.generate(wuerstchen.request(**values))
            found.append(np.abs(np.asarray(varied.image, np.float32) - pixels).mean())
        [other] = wuerstchen.generate(wuerstchen.request(prompt=prompt, seed=100 + seed))
        other_seeds.append(np.abs(np.asarray(other.image, np.float32) - pixels).mean())
    means = [float(np.mean(found)) for found in distances.values()]
    assert means == sorted(means)
    assert means[0] < 1  # of 255: the embeddings are rounded to float16
    assert means[-1] > 0.9 * np.mean(other_seeds)


def test_a_variation_is_generated_again_from_its_own_file_bit_for_bit(wuerstchen):
    [source] = wuerstchen.generate(wuerstchen.request(prompt="a red apple", seed=3))
    [varied] = wuerstchen.generate(wuerstchen.request(**read_back(source).vary(0.6)))
    assert_generated_again(wuerstchen, varied)


def test_a_redrawn_region_of_edited_maps_is_generated_again_bit_for_bit(wuerstchen):
    """The maps are edited as "Play with z" does: two are swapped, one is set to 0."""
    [source] = wuerstchen.generate(wuerstchen.request(prompt="a red apple", seed=3))
    maps = decode_image_embeddings(source.image_embeddings)[[1, 0, *range(2, 16)]]
    maps[5] = 0
    edited_values = recompose(source.request.to_dict(), encode_image_embeddings(maps))
    [edited] = wuerstchen.generate(wuerstchen.request(**edited_values))
    assert edited.image != source.image
    cells = np.zeros(maps.shape[1:], bool)
    cells[:3, 2:] = True
    [redrawn] = wuerstchen.generate(wuerstchen.request(**redraw(read_back(edited).vary(1), encode_mask(cells))))
    kept = decode_image_embeddings(redrawn.image_embeddings)
    assert np.array_equal(kept[:, ~cells], maps[:, ~cells])
    assert not np.array_equal(kept[:, cells], maps[:, cells])
    for each in (edited, redrawn):
        assert_generated_again(wuerstchen, each)


def test_a_morph_is_generated_again_from_the_files_of_its_frames_bit_for_bit(wuerstchen):
    first, last = (
        wuerstchen.generate(wuerstchen.request(prompt=prompt, seed=3))[0] for prompt in ("a red apple", "a blue car")
    )
    request = wuerstchen.morph(first, last, frames=3)
    assert wuerstchen.generate(request.image(0))[0].image == first.image
    assert wuerstchen.generate(request.image(2))[0].image == last.image
    [frame] = wuerstchen.generate(request.image(1))
    assert_generated_again(wuerstchen, frame)
    together = wuerstchen.generate(request)  # in a larger batch kernels add in another order
    for shared, alone in zip(together, (first, frame, last), strict=True):
        difference = np.abs(np.subtract(np.asarray(shared.image, np.float32), np.asarray(alone.image, np.float32)))
        assert difference.max() <= 1


def test_a_morph_from_the_variation_of_a_frame_is_generated_again_bit_for_bit(wuerstchen):
    """A frame itself is no end: its file carries two pictures already."""
    first, last = (
        wuerstchen.generate(wuerstchen.request(prompt=prompt, seed=3))[0] for prompt in ("a red apple", "a blue car")
    )
    [frame] = wuerstchen.generate(wuerstchen.morph(first, last, frames=3).image(1))
    with pytest.raises(InvalidRequest, match="vary it, then morph"):
        wuerstchen.request(**read_back(frame).morph(read_back(last), 3))
    [varied] = wuerstchen.generate(wuerstchen.request(**read_back(frame).vary(0.2)))
    request = wuerstchen.request(**read_back(varied).morph(read_back(last), 3))
    [again] = wuerstchen.generate(request.image(0))
    assert again.image == varied.image
    [middle] = wuerstchen.generate(request.image(1))
    assert_generated_again(wuerstchen, middle)
