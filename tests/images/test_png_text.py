"""PNG texts in the chunks that readers of other programs know, by the PNG specification (11.3.3)."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from PIL import Image

from tests.strategies import requests
from wuerst_demo.images.image_texts import PARAMETERS_KEYWORD, RECORD_KEYWORD
from wuerst_demo.images.metadata import build_png_info
from wuerst_demo.request import Limits

LIMITS = Limits()


def read_chunks(request):
    """Chunks of the file that a request is written into, as kind and data, with their check sums checked."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=build_png_info(request, "cocktail"))
    data, at = file.getvalue(), 8
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body, (checked,) = data[at + 8 : at + 8 + length], struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checked == zlib.crc32(kind + body)
        yield kind, body
        at += 12 + length


def read_latin1_texts(request):
    """Texts by keyword as a reader finds them that knows tEXt alone: a keyword, a zero byte, Latin-1 without zeros."""
    texts = {}
    for kind, body in read_chunks(request):
        if kind == b"tEXt":
            keyword, _, text = body.partition(b"\0")
            assert 1 <= len(keyword) <= 79
            assert b"\0" not in text
            texts[keyword.decode("latin-1")] = text.decode("latin-1")
    return texts


def read_unicode_texts(request):
    """Texts of iTXt chunks: keyword, zero, no compression (two bytes), language, zero, keyword, zero, UTF-8."""
    found = [body.split(b"\0", 1) for kind, body in read_chunks(request) if kind == b"iTXt"]
    assert all(rest.startswith(b"\0\0\0\0") for _, rest in found)
    return {keyword.decode("latin-1"): rest[4:].decode() for keyword, rest in found}


@pytest.mark.parametrize("prompt", ["a red barn on a hill", "eine Mühle über dem Fluß, café", "a\nb\tc", ""])
def test_a_request_in_latin1_is_found_by_readers_that_know_text_chunks_alone(prompt):
    texts = read_latin1_texts(LIMITS.request({"prompt": prompt, "negative_prompt": "grüne Wolken", "seed": 7}))
    assert texts[PARAMETERS_KEYWORD].startswith(f"{prompt}\nNegative prompt: grüne Wolken\nSteps: 29, Sampler: ")
    assert '"prompt": ' in texts[RECORD_KEYWORD]


@pytest.mark.parametrize("prompt", ["赤い納屋", "a barn 🐄", "“quoted” – 5 €", "MÃ¼hle"])
def test_a_request_beyond_latin1_is_unicode_as_a_whole(prompt):
    request = LIMITS.request({"prompt": prompt, "seed": 7})
    assert read_latin1_texts(request) == {}
    assert read_unicode_texts(request)[PARAMETERS_KEYWORD].startswith(f"{prompt}\nSteps: 29, Sampler: ")


@given(requests(LIMITS))
def test_every_text_is_written_once_and_complete(request):
    latin1, unicode = read_latin1_texts(request), read_unicode_texts(request)
    assert not latin1.keys() & unicode.keys()
    assert (latin1 | unicode)[PARAMETERS_KEYWORD].startswith(request.prompt)
