"""A request goes into a PNG file and comes out of it; nothing a stranger's file says is believed."""

import dataclasses
import io
import json
import struct
import zlib
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.asking import requests
from wuerst_demo.errors import InvalidRequest, MetadataError
from wuerst_demo.found import Found
from wuerst_demo.metadata import OURS, from_png, marked, to_png_text
from wuerst_demo.png import LONGEST_TEXT
from wuerst_demo.request import Limits

LIMITS = Limits()
LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Model hash: 1a2b, Model: dream"


def png(info=None, size=(4, 4)):
    """A PNG file in memory with these texts."""
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG", pnginfo=info)
    file.seek(0)
    return file


def saying(keyword, text, **more):
    info = PngInfo()
    info.add_text(keyword, text, **more)
    return png(info)


def recording(**changes):
    """A file whose own record is changed in these places."""
    record = {"format": 1, "checkpoint": "c", "request": dataclasses.asdict(LIMITS.request({"seed": 1}))} | changes
    return saying(OURS, json.dumps(record))


def chunk(kind, data):
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def raw(*chunks):
    """A PNG file made of these chunks after its signature, with no picture in it."""
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def header(width=4, height=4):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def refusal(file):
    with pytest.raises(MetadataError) as caught:
        from_png(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@given(requests(LIMITS), st.text(st.characters(exclude_categories=("Cs",)), max_size=100))
def test_a_request_comes_back_as_it_was(request, checkpoint):
    found = from_png(png(to_png_text(request, checkpoint, "abc123")))
    assert LIMITS.request(found.values) == request
    assert (found.checkpoint, found.revision, found.unread) == (checkpoint, "abc123", ())
    assert found.program.startswith("wuerst_demo ")


def test_the_longest_request_comes_back():
    request = LIMITS.request({"prompt": "🐈" * 2000, "negative_prompt": "\\" * 2000})
    assert LIMITS.request(from_png(png(to_png_text(request))).values) == request


def test_a_file_is_read_from_its_path_too(tmp_path):
    request = LIMITS.request({"prompt": "cat"})
    path = tmp_path / "cat.png"
    path.write_bytes(png(to_png_text(request)).getvalue())
    assert from_png(path) == from_png(str(path)) == from_png(io.BytesIO(path.read_bytes()))


@given(requests(LIMITS))
def test_other_programs_find_their_own_form(request):
    text = Image.open(png(to_png_text(request, "a, b"))).text["parameters"]
    assert text.startswith(request.prompt + "\n")
    last = text.rpartition("\n")[2]
    assert f"Steps: {request.prior_steps}, Sampler: " in last
    assert f"Seed: {request.seed}, Size: {request.width}x{request.height}, " in last
    assert 'Model: "a, b"' in last
    assert ("\nNegative prompt: " in text[len(request.prompt) :]) == bool(request.negative_prompt)


@given(requests(LIMITS))
def test_our_own_form_for_other_programs_is_understood_too(request):
    text = Image.open(png(to_png_text(request, "cocktail"))).text["parameters"]
    found = from_png(saying("parameters", text))
    for name in ("width", "height", "seed", "prior_steps", "prior_schedule", "decoder_steps", "weighting"):
        assert found.values[name] == getattr(request, name)
    assert found.values["prior_guidance"] == pytest.approx(request.prior_guidance, rel=1e-4)
    assert found.checkpoint == "cocktail"
    assert found.unread == ("Sampler",)


def test_what_another_program_says_is_read_as_far_as_it_is_understood_and_the_rest_named():
    found = from_png(saying("parameters", f"a cat,\non a mat\nNegative prompt: dog,\nwolf\n{LINE}"))
    assert found == Found(
        {
            "prompt": "a cat,\non a mat",
            "negative_prompt": "dog,\nwolf",
            "prior_steps": 20,
            "prior_guidance": 7,
            "seed": 5,
            "width": 512,
            "height": 768,
        },
        checkpoint="dream",
        unread=("Sampler", "Model hash"),
    )


def test_a_quoted_value_of_another_program_hides_no_settings():
    found = from_png(saying("parameters", 'cat\nSteps: 20, Hires prompt: "a, Seed: 9, \\"b", Seed: 3'))
    assert (found.values["seed"], found.unread) == (3, ("Hires prompt",))


@pytest.mark.parametrize("text", ["cat", "cat: a drawing", "a: 1, b: 2, c: 3", "one\ntwo: three"])
def test_a_prompt_without_settings_is_a_prompt(text):
    assert from_png(saying("parameters", text)).values == {"prompt": text}


@pytest.mark.parametrize("text", ['{"sui_image_params": {"prompt": "a cat", "seed": 1}}', ' {"prompt": "a cat"}\n'])
def test_a_record_of_another_programs_own_is_not_taken_for_a_prompt(text):
    assert "copy the prompt by hand" in refusal(saying("parameters", text))


def test_a_prompt_in_brackets_is_a_prompt():
    assert from_png(saying("parameters", "{a cat}")).values == {"prompt": "{a cat}"}


@pytest.mark.parametrize("text", ["a cat\nNegative prompt:bad\nSeed: 5", "a cat\r\nNegative prompt: bad\r\nSeed: 5"])
def test_blanks_and_line_ends_of_other_systems_make_no_difference(text):
    assert from_png(saying("parameters", text)).values == {"prompt": "a cat", "negative_prompt": "bad", "seed": 5}


def graph(**sampler):
    """A file as ComfyUI writes one, its sampler with these inputs changed."""
    inputs = {
        "seed": 5,
        "steps": 20,
        "cfg": 7.5,
        "sampler_name": "euler",
        "denoise": 1,
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
    }
    nodes = {
        "3": {"class_type": "KSampler", "inputs": inputs | sampler},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["4", 1]}},
    }
    return saying("prompt", json.dumps(nodes))


def test_the_usual_graph_of_another_program_is_understood_and_the_rest_named():
    found = from_png(graph())
    assert found.values == {
        "seed": 5,
        "prior_steps": 20,
        "prior_guidance": 7.5,
        "prompt": "a cat",
        "negative_prompt": "a dog",
        "width": 512,
        "height": 768,
    }
    assert (found.program, found.checkpoint) == ("ComfyUI", "dream.safetensors")
    assert found.unread == ("sampler_name", "denoise")


def test_what_a_graph_takes_from_elsewhere_is_named():
    found = from_png(graph(seed=["9", 0], positive=["4", 1], latent_image=["404", 0]))
    assert set(found.values) == {"prior_steps", "prior_guidance", "negative_prompt"}
    assert {"seed", "positive", "latent_image"} <= set(found.unread)


@pytest.mark.parametrize(
    "text",
    ["a cat", "[]", "{}", '{"3": 5}', '{"3": {"class_type": "KSampler", "inputs": 5}}', "[" * 90_000],
    ids=["words", "list", "nothing", "number", "no inputs", "nested"],
)
def test_a_graph_that_is_not_understood_is_recognised_all_the_same(text):
    assert "ComfyUI" in refusal(saying("prompt", text))


def test_a_picture_says_to_machines_that_a_model_made_it():
    for info in (to_png_text(LIMITS.request({"prompt": "cat"})), marked()):
        xmp = Image.open(png(info)).info["xmp"]  # where Pillow found it, it is where others look
        said = ElementTree.fromstring(xmp)
        name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        (mark,) = said.iter(name)
        assert mark.text == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_compressed_text_is_read():
    for text in ("cat\n" + LINE, "猫\n" + LINE):
        assert from_png(saying("parameters", text, zip=True)).values["prompt"] == text[: -len(LINE) - 1]


def test_our_record_goes_before_another_programs():
    info = to_png_text(LIMITS.request({"prompt": "cat"}))
    info.add_text("parameters", f"dog\n{LINE}")
    assert from_png(png(info)).values["prompt"] == "cat"


def test_values_in_a_file_are_no_more_than_a_strangers_word():
    values = dataclasses.asdict(LIMITS.request({"seed": 1}))
    for change in ({"width": 100_000}, {"prompt": ["a"]}, {"prior_guidance": float("nan")}, {"prompt": "x" * 5000}):
        with pytest.raises(InvalidRequest):
            LIMITS.request(from_png(recording(request=values | change)).values)


def test_a_setting_of_a_later_kind_is_named():
    found = from_png(recording(request={"prompt": "cat", "lora": "x"}))
    assert (found.values, found.unread) == ({"prompt": "cat"}, ("lora",))


def test_what_a_checkpoint_does_not_admit_is_left_out_and_said():
    limits = LIMITS.narrow(width={"most": 512}, height={"most": 512})
    values, refused = from_png(saying("parameters", f"cat\n{LINE}")).fit(limits)
    assert "height" not in values
    assert limits.request(values).width == 512
    assert refused == ("Height is 768; choose from 128 to 512.",)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "1"},
        {"format": True},
        {"format": 0},
        {"format": None},
        {"request": None},
        {"request": []},
        {"request": {"seed": None}},
        {"checkpoint": 1},
        {"checkpoint": "x" * 5001},
    ],
)
def test_a_record_of_another_shape_is_refused(change):
    assert "record is damaged" in refusal(recording(**change))


@pytest.mark.parametrize("text", ["", "cat", "[]", "{", '"cat"', "[" * 100_000, "1" * 10_000, '{"a":' * 50_000])
def test_a_record_that_is_no_json_is_refused(text):
    assert "record is damaged" in refusal(saying(OURS, text))


def test_a_newer_record_is_not_guessed_at():
    assert "newer version" in refusal(recording(format=2))


@pytest.mark.parametrize(
    "data",
    [b"", b"cat", b"PK\x03\x04" + b"\0" * 100, b"\xff\xd8\xff\xe0JFIF", b"\x89PNG", b"<svg/>", b"GIF89a"],
    ids=["empty", "text", "zip", "jpeg", "short", "svg", "gif"],
)
def test_a_file_that_is_no_png_is_refused_whatever_its_name(data, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    assert "not a PNG" in refusal(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "none.png")
    assert "cannot be read" in refusal(tmp_path)


def test_a_picture_without_settings_is_refused():
    assert "carries no settings" in refusal(png())
    assert "carries no settings" in refusal(saying("Comment", "a cat"))


@given(st.integers(9, 400))
def test_a_file_that_is_cut_short_is_refused(length):
    data = png(to_png_text(LIMITS.request({"prompt": "cat", "seed": 1}))).getvalue()
    assert "damaged or cut short" in refusal(io.BytesIO(data[:length]))


@given(st.data())
def test_a_damaged_file_is_refused_or_read_but_never_crashes(data):
    content = bytearray(png(to_png_text(LIMITS.request({"prompt": "cat", "seed": 1}))).getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        found = from_png(io.BytesIO(bytes(content)))
        found.fit(LIMITS)
    except MetadataError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("size", [(20_000, 20_000), (1, 10_001), (10_001, 1), (0, 4), (2**31, 2**31)])
def test_a_picture_of_absurd_size_is_refused_by_its_first_bytes(size):
    assert "pixels" in refusal(raw(header(*size)))


def test_megabytes_of_text_are_refused_unread():
    class Watched(io.BytesIO):
        most = 0

        def read(self, size=-1):
            assert size >= 0
            self.most = max(self.most, size)
            return super().read(size)

    file = Watched(raw(header(), chunk(b"tEXt", b"prompt\0" + b"x" * 2 * LONGEST_TEXT)).getvalue())
    assert "megabyte of text" in refusal(file)
    assert file.most < 100
    many = [chunk(b"tEXt", b"prompt\0" + b"x" * 2**17)] * 9
    assert "megabyte of text" in refusal(raw(header(), *many))


def test_megabytes_that_nobody_asked_for_are_passed_over():
    workflow = chunk(b"tEXt", b"workflow\0" + b"x" * 2 * LONGEST_TEXT)
    said = chunk(b"tEXt", b"parameters\0a cat")
    assert from_png(raw(header(), workflow, said, chunk(b"IEND", b""))).values == {"prompt": "a cat"}


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_text_that_unpacks_without_end_is_refused(kind):
    packed = zlib.compress(b" " * 50 * LONGEST_TEXT)
    assert len(packed) < LONGEST_TEXT // 10
    middle = b"\0\0" if kind == b"zTXt" else b"\0\1\0\0\0"
    assert "megabyte of text" in refusal(raw(header(), chunk(kind, b"parameters" + middle + packed)))


def test_text_that_is_packed_or_written_wrongly_is_refused():
    assert "text is damaged" in refusal(raw(header(), chunk(b"zTXt", b"parameters\0\0cat")))
    assert "text is damaged" in refusal(raw(header(), chunk(b"iTXt", b"parameters\0\0\0\0\0\xff")))


def test_a_file_of_endless_small_chunks_is_refused():
    assert "damaged" in refusal(raw(header(), *[chunk(b"teSt", b"")] * 70_000))


def test_a_file_without_its_header_is_refused():
    assert "damaged" in refusal(raw(chunk(b"tEXt", b"parameters\0cat"), chunk(b"IEND", b"")))
    assert "damaged" in refusal(raw(header(), header()))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", [" ", "a", "a:", 'a:"', 'a:"\\', "a:\\", 'a:"\\",', "a: , ", "Steps: 1, "])
def test_no_text_within_the_bound_takes_long_to_read(piece):
    text = (piece * LONGEST_TEXT)[: LONGEST_TEXT - 100]
    from_png(saying("parameters", text + "!")).fit(LIMITS)


def test_markup_stays_text():
    prompt = '<img src=x onerror="alert(1)">'
    assert from_png(png(to_png_text(LIMITS.request({"prompt": prompt})))).values["prompt"] == prompt
