"""A request is written to a PNG file and parsed from it; untrusted PNG files are bounded and validated."""

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

from tests.strategies import requests
from wuerst_demo.errors import InvalidRequest, MetadataError
from wuerst_demo.images.a1111_parameters import MAX_PARAMETERS_CHARS
from wuerst_demo.images.image_texts import MAX_EXCERPT_CHARS, MAX_TEXT_BYTES
from wuerst_demo.images.metadata import MAX_NAME_CHARS, RECORD_KEYWORD, ai_png_info, build_png_info, read_image_settings
from wuerst_demo.images.parsed_settings import ParsedSettings
from wuerst_demo.images.png_text import MAX_SIDE_PX
from wuerst_demo.request import Limits

LIMITS = Limits()
WITHOUT_SAMPLER = {"sampler": "ddpm", "guidance_from": 0.0, "guidance_to": 1.0}
"""How every request was drawn before it had these fields."""
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
    """A file whose own record has these changes."""
    record = {"format": 1, "checkpoint": "c", "request": LIMITS.request({"seed": 1}).to_dict()} | changes
    return saying(RECORD_KEYWORD, json.dumps(record))


def chunk(kind, data):
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


END = chunk(b"IEND", b"")


def raw(*chunks):
    """A PNG file made of these chunks after its signature, with no picture in it."""
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def header(width=4, height=4):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def error_message(file):
    with pytest.raises(MetadataError) as caught:
        read_image_settings(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@given(requests(LIMITS), st.text(st.characters(exclude_categories=("Cs",)), max_size=100))
def test_request_is_restored_exactly(request, checkpoint):
    found = read_image_settings(png(build_png_info(request, checkpoint, "abc123")))
    assert LIMITS.request(found.values) == request
    assert (found.checkpoint, found.revision, found.unsupported) == (checkpoint, "abc123", ())
    assert found.program.startswith("wuerst_demo ")


def test_longest_request_is_restored():
    request = LIMITS.request({"prompt": "🐈" * 2000, "negative_prompt": "\\" * 2000})
    assert LIMITS.request(read_image_settings(png(build_png_info(request))).values) == request


def test_file_may_be_given_as_path_or_open_file(tmp_path):
    request = LIMITS.request({"prompt": "cat"})
    path = tmp_path / "cat.png"
    path.write_bytes(png(build_png_info(request)).getvalue())
    assert (
        read_image_settings(path)
        == read_image_settings(str(path))
        == read_image_settings(io.BytesIO(path.read_bytes()))
    )


@given(requests(LIMITS))
def test_parameters_have_the_format_of_other_programs(request):
    text = Image.open(png(build_png_info(request, "a, b"))).text["parameters"]
    assert text.startswith(request.prompt + "\n")
    last = text.rpartition("\n")[2]
    assert f"Steps: {request.prior_steps}, Sampler: " in last
    assert f"Seed: {request.seed}, Size: {request.width}x{request.height}, " in last
    assert 'Model: "a, b"' in last
    assert ("\nNegative prompt: " in text[len(request.prompt) :]) == bool(request.negative_prompt)


@given(requests(LIMITS))
def test_own_parameters_are_parsed_like_those_of_other_programs(request):
    text = Image.open(png(build_png_info(request, "cocktail"))).text["parameters"]
    found = read_image_settings(saying("parameters", text))
    exact = ("width", "height", "seed", "prior_steps", "prior_schedule", "decoder_steps", "weighting", "sampler")
    for name in exact:
        assert found.values[name] == getattr(request, name)
    interval = (found.values.get("guidance_from", 0), found.values.get("guidance_to", 1))
    assert interval == pytest.approx((request.guidance_from, request.guidance_to), rel=1e-4)
    assert found.values["prior_guidance"] == pytest.approx(request.prior_guidance, rel=1e-4)
    assert found.checkpoint == "cocktail"
    assert found.unsupported == ()


def test_parameters_of_another_program_are_parsed_and_the_rest_listed():
    found = read_image_settings(saying("parameters", f"a cat,\non a mat\nNegative prompt: dog,\nwolf\n{LINE}"))
    assert found == ParsedSettings(
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
        unsupported=("Sampler", "Model hash"),
    )


def test_quoted_and_plain_values_are_unquoted():
    text = 'cat\nSteps: 20, Model: "a, \\"b\\"", Version: 1.2'
    found = read_image_settings(saying("parameters", text))
    assert (found.checkpoint, found.program) == ('a, "b"', "1.2")


def test_schedule_of_another_program_is_listed():
    found = read_image_settings(saying("parameters", "cat\nSteps: 20, Schedule type: Karras, Style: linear"))
    values = {"prompt": "cat", "negative_prompt": "", "prior_steps": 20}
    assert (found.values, found.unsupported) == (values, ("Schedule type", "Style"))


def test_quoted_value_of_another_program_hides_no_settings():
    found = read_image_settings(saying("parameters", 'cat\nSteps: 20, Hires prompt: "a, Seed: 9, \\"b", Seed: 3'))
    assert (found.values["seed"], found.unsupported) == (3, ("Hires prompt",))


@pytest.mark.parametrize("text", ["cat", "cat: a drawing", "a: 1, b: 2, c: 3", "one\ntwo: three"])
def test_text_without_settings_is_a_prompt(text):
    assert read_image_settings(saying("parameters", text)).values == {"prompt": text, "negative_prompt": ""}


@pytest.mark.parametrize("text", ['{"sui_image_params": {"prompt": "a cat", "seed": 1}}', ' {"prompt": "a cat"}\n'])
def test_json_of_another_program_is_not_taken_for_a_prompt(text):
    assert read_image_settings(saying("parameters", text)).values["prompt"] == "a cat"


def test_prompt_in_braces_is_a_prompt():
    assert read_image_settings(saying("parameters", "{a cat}")).values["prompt"] == "{a cat}"


@pytest.mark.parametrize("text", ["a cat\nNegative prompt:bad\nSeed: 5", "a cat\r\nNegative prompt: bad\r\nSeed: 5"])
def test_blanks_and_line_ends_of_other_systems_are_accepted(text):
    assert read_image_settings(saying("parameters", text)).values == {
        "prompt": "a cat",
        "negative_prompt": "bad",
        "seed": 5,
    }


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


def test_common_comfyui_graph_is_parsed_and_the_rest_listed():
    found = read_image_settings(graph())
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
    assert found.unsupported == ("sampler_name", "denoise")


def test_graph_inputs_from_unknown_nodes_are_listed():
    found = read_image_settings(graph(seed=["9", 0], positive=["4", 1], latent_image=["404", 0]))
    assert found.values == {"prior_steps": 20, "prior_guidance": 7.5, "prompt": "", "negative_prompt": "a dog"}
    assert found.unread == ("seed", "width", "height", "prompt")


def test_latent_node_with_nothing_but_a_size_gives_the_size():
    nodes = {
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "latent_image": ["5", 0]}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}},
    }
    found = read_image_settings(saying("prompt", json.dumps(nodes)))
    values = {"seed": 5, "width": 512, "height": 768, "prompt": "", "negative_prompt": ""}
    assert (found.values, found.unsupported, found.unread) == (values, (), ("prompt",))


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"3": 5}', '{"3": {"class_type": "KSampler", "inputs": 5}}', "[" * 90_000],
    ids=["list", "nothing", "number", "no inputs", "nested"],
)
def test_only_a_graph_is_recognised_as_comfyui(text):
    assert ("ComfyUI" in error_message(saying("prompt", text))) == ("class_type" in text)


def test_xmp_marks_the_image_as_made_by_a_model():
    for info in (build_png_info(LIMITS.request({"prompt": "cat"})), ai_png_info()):
        xmp = Image.open(png(info)).info["xmp"]  # where Pillow found it, it is where others look
        text = ElementTree.fromstring(xmp)
        name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        (mark,) = text.iter(name)
        assert mark.text == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_compressed_text_is_parsed():
    for text in ("cat\n" + LINE, "猫\n" + LINE):
        assert read_image_settings(saying("parameters", text, zip=True)).values["prompt"] == text[: -len(LINE) - 1]


def test_own_record_takes_precedence():
    info = build_png_info(LIMITS.request({"prompt": "cat"}))
    info.add_text("parameters", f"dog\n{LINE}")
    assert read_image_settings(png(info)).values["prompt"] == "cat"


def test_values_of_a_file_are_validated_like_any_others():
    values = LIMITS.request({"seed": 1}).to_dict()
    for change in ({"width": 100_000}, {"prompt": ["a"]}, {"prior_guidance": float("nan")}, {"prompt": "x" * 5000}):
        with pytest.raises(InvalidRequest):
            LIMITS.request(read_image_settings(recording(request=values | change)).values)


def test_unknown_field_of_a_record_is_listed():
    found = read_image_settings(recording(request={"prompt": "cat", "lora": "x"}))
    assert (found.values, found.unsupported) == ({**WITHOUT_SAMPLER, "prompt": "cat"}, ("lora",))


def test_a_record_without_sampler_and_interval_means_ddpm_guided_all_the_way():
    limits = LIMITS.narrow(sampler={"default": "ddim"}, guidance_from={"default": 0.2}, guidance_to={"default": 0.6})
    values, rejected = read_image_settings(recording(request={"prompt": "cat", "seed": 1})).fit(limits)
    request = limits.request(values)
    assert (request.sampler, request.guidance_from, request.guidance_to, rejected) == ("ddpm", 0, 1, ())


def test_values_beyond_the_limits_are_left_out_and_reported():
    limits = LIMITS.narrow(width={"most": 512}, height={"most": 512})
    values, rejected = read_image_settings(saying("parameters", f"cat\n{LINE}")).fit(limits)
    assert "height" not in values
    assert limits.request(values).width == 512
    assert rejected == ("Height is 768; choose from 128 to 512.",)


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
def test_record_of_another_structure_is_rejected(change):
    assert "settings in the picture are damaged" in error_message(recording(**change))


@pytest.mark.parametrize("text", ["", "cat", "[]", "{", '"cat"', "[" * 100_000, "1" * 10_000, '{"a":' * 50_000])
def test_record_that_is_not_json_is_rejected(text):
    assert "settings in the picture are damaged" in error_message(saying(RECORD_KEYWORD, text))


def test_newer_record_is_rejected():
    assert "newer version" in error_message(recording(format=2))


@pytest.mark.parametrize(
    "data",
    [b"", b"cat", b"PK\x03\x04" + b"\0" * 100, b"\xff\xd8", b"\x89PNG", b"<svg/>", b"GIF89a"],
    ids=["empty", "text", "zip", "jpeg", "short", "svg", "gif"],
)
def test_file_that_is_no_picture_is_rejected_whatever_its_name(data, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    assert "not a PNG" in error_message(path)


def test_missing_file_is_rejected(tmp_path):
    assert "cannot be read (No such file or directory)" in error_message(tmp_path / "none.png")
    assert "cannot be read" in error_message(tmp_path)


def test_image_without_settings_is_rejected():
    assert "contains no settings" in error_message(png())
    assert "contains no settings" in error_message(png(ai_png_info()))
    assert "not understood" in error_message(saying("Comment", "a cat"))


@given(st.integers(9, 400))
def test_truncated_file_is_rejected(length):
    data = png(build_png_info(LIMITS.request({"prompt": "cat", "seed": 1}))).getvalue()
    assert "damaged or cut short" in error_message(io.BytesIO(data[:length]))


@given(st.data())
def test_damaged_file_is_rejected_or_parsed_but_never_crashes(data):
    content = bytearray(png(build_png_info(LIMITS.request({"prompt": "cat", "seed": 1}))).getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        found = read_image_settings(io.BytesIO(bytes(content)))
        found.fit(LIMITS)
    except MetadataError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("size", [(20_000, 20_000), (1, 10_001), (10_001, 1), (0, 4), (2**31, 2**31)])
def test_absurd_image_size_is_rejected_by_the_header(size):
    assert "pixels" in error_message(raw(header(*size)))


def test_megabytes_of_text_are_rejected_unread():
    class Watched(io.BytesIO):
        most = 0

        def read(self, size=-1):
            assert size >= 0
            self.most = max(self.most, size)
            return super().read(size)

    file = Watched(raw(header(), chunk(b"tEXt", b"prompt\0" + b"x" * 2 * MAX_TEXT_BYTES), END).getvalue())
    assert "more text than is read" in error_message(file)
    assert file.most <= MAX_EXCERPT_CHARS
    many = [chunk(b"tEXt", b"Comment\0" + b"x" * 2**17)] * 9
    assert "more text than is read" in error_message(raw(header(), *many, chunk(b"IEND", b"")))


def test_megabytes_under_other_keywords_are_skipped():
    workflow = chunk(b"tEXt", b"workflow\0" + b"x" * 2 * MAX_TEXT_BYTES)
    text = chunk(b"tEXt", b"parameters\0a cat")
    assert read_image_settings(raw(header(), workflow, text, chunk(b"IEND", b""))).values["prompt"] == "a cat"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_decompression_bomb_is_rejected(kind):
    packed = zlib.compress(b" " * 50 * MAX_TEXT_BYTES)
    assert len(packed) < MAX_TEXT_BYTES // 10
    middle = b"\0\0" if kind == b"zTXt" else b"\0\1\0\0\0"
    assert "more text than is read" in error_message(raw(header(), chunk(kind, b"parameters" + middle + packed), END))


def test_invalid_compression_or_encoding_is_rejected():
    assert "in the picture file is damaged" in error_message(raw(header(), chunk(b"zTXt", b"parameters\0\0cat")))
    assert "in the picture file is damaged" in error_message(raw(header(), chunk(b"iTXt", b"parameters\0\0\0\0\0\xff")))


def test_endless_small_chunks_are_rejected():
    assert "damaged" in error_message(raw(header(), *[chunk(b"teSt", b"")] * 70_000))


def test_missing_or_repeated_header_is_rejected():
    assert "damaged" in error_message(raw(chunk(b"tEXt", b"parameters\0cat"), chunk(b"IEND", b"")))
    assert "damaged" in error_message(raw(header(), header()))


def test_largest_text_and_image_are_accepted():
    keyword, prompt = b"parameters\0", b"x" * MAX_PARAMETERS_CHARS
    file = raw(header(MAX_SIDE_PX, MAX_SIDE_PX), chunk(b"tEXt", keyword + prompt), END)
    assert read_image_settings(file).values["prompt"] == prompt.decode()
    assert "not understood" in error_message(raw(header(), chunk(b"tEXt", keyword + prompt + b"x"), END))
    record = b'{"prompt": "a cat"}'.ljust(MAX_TEXT_BYTES)
    assert read_image_settings(raw(header(), chunk(b"zTXt", keyword + b"\0" + zlib.compress(record)), END))
    packed = zlib.compress(record + b" ")
    assert "more text than is read" in error_message(raw(header(), chunk(b"zTXt", keyword + b"\0" + packed), END))


def test_longest_names_of_a_record_are_accepted():
    assert read_image_settings(recording(checkpoint="x" * MAX_NAME_CHARS)).checkpoint == "x" * MAX_NAME_CHARS


def test_markup_stays_text():
    prompt = '<img src=x onerror="alert(1)">'
    assert read_image_settings(png(build_png_info(LIMITS.request({"prompt": prompt})))).values["prompt"] == prompt
