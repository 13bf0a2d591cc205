"""EXIF texts of JPEG, WebP and PNG files, in the encodings that programs write, within bounds."""

import io
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wuerst_demo.errors import MetadataError
from wuerst_demo.images.exif import MAX_PARTS, read_jpeg_texts, read_webp_texts
from wuerst_demo.images.image_texts import MAX_EXIF_BYTES
from wuerst_demo.images.metadata import read_image_settings

TEXT = "ein Mühle\nSteps: 20, Seed: 5"
FOLDER = Path(__file__).parents[1] / "fixtures" / "foreign_images"


def exif(tags, order=">"):
    """EXIF data whose tags, by number, have these types and bytes; UserComment is in the second directory."""
    data = bytearray((b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8))

    def directory(entries, after):
        start, body = len(data), b""
        values = start + 2 + 12 * (len(entries) + bool(after)) + 4
        head = struct.pack(order + "H", len(entries) + bool(after))
        for tag, (kind, value) in entries.items():
            head += struct.pack(order + "HHII", tag, kind, len(value), values + len(body))
            body += value.ljust(5, b"\0")
        if after:
            head += struct.pack(order + "HHII", 0x8769, 4, 1, values + len(body))
        data.extend(head + b"\0" * 4 + body)

    comment = {tag: each for tag, each in tags.items() if tag == 0x9286}
    directory({tag: each for tag, each in tags.items() if tag != 0x9286}, bool(comment))
    if comment:
        directory(comment, False)
    return bytes(data)


def jpeg(data, *, header=b"Exif\0\0"):
    segment = header + data
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + b"\xff\xda"


def webp(data, kind=b"EXIF"):
    chunk = kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


COMMENTS = {
    "utf-16 big": b"UNICODE\0" + TEXT.encode("utf-16-be"),
    "utf-16 little": b"UNICODE\0" + TEXT.encode("utf-16-le"),
    "byte order mark": b"UNICODE\0" + TEXT.encode("utf-16"),
    "utf-8": b"UNICODE\0" + TEXT.encode(),
    "ascii": b"ASCII\0\0\0" + TEXT.encode("latin-1"),
    "undefined": b"\0" * 8 + TEXT.encode(),
    "no code": TEXT.encode() + b"\0",
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("comment", COMMENTS)
@pytest.mark.parametrize("file", [jpeg, webp])
def test_a_user_comment_is_read_in_every_encoding(comment, file, order):
    settings = read_image_settings(io.BytesIO(file(exif({0x9286: (7, COMMENTS[comment])}, order))))
    assert settings.values == {"prompt": "ein Mühle", "negative_prompt": "", "prior_steps": 20, "seed": 5}


def test_pillow_writes_what_is_read():
    data = Image.Exif()
    data[0x8769] = {0x9286: b"UNICODE\0" + TEXT.encode("utf-16-be")}
    for kind in ("JPEG", "WEBP", "PNG"):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, kind, exif=data)
        file.seek(0)
        assert read_image_settings(file).values["seed"] == 5


def test_comfyuis_graph_in_exif_is_read():
    graph = {"1": {"class_type": "KSampler", "inputs": {"seed": 5, "positive": ["2", 0]}}}
    graph["2"] = {"class_type": "T", "inputs": {"text": "a barn"}}
    data = exif(
        {0x010F: (2, b'workflow:{"nodes": []}\0'), 0x0110: (2, b"prompt:" + json.dumps(graph).encode() + b"\0")}
    )
    assert read_image_settings(io.BytesIO(webp(data))).values["prompt"] == "a barn"


def test_a_comment_and_a_description_are_shown_where_they_hold_no_settings():
    with pytest.raises(MetadataError, match="not understood") as caught:
        read_image_settings(io.BytesIO(jpeg(exif({0x010E: (2, b"a barn\0")}))))
    assert caught.value.text == "Description: a barn"
    with pytest.raises(MetadataError) as caught:
        read_image_settings(io.BytesIO(b"\xff\xd8\xff\xfe\0\x08a barn\xff\xda"))
    assert caught.value.text == "Comment: a barn"


def test_what_a_user_wrote_into_xmp_is_shown_where_it_holds_no_settings():
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x><dc:description><rdf:li>a &lt;red&gt; barn</rdf:li></dc:description></x>"
    with pytest.raises(MetadataError, match="not understood") as caught:
        read_image_settings(io.BytesIO(jpeg(xmp, header=b"")))
    assert caught.value.text == "dc:description: a <red> barn"
    with pytest.raises(MetadataError, match="contains no settings"):
        read_image_settings(io.BytesIO(jpeg(xmp.replace(b"description", b"rights"), header=b"")))


def test_a_file_is_judged_by_its_content(tmp_path):
    for name in ("a1111.jpg", "a1111.webp"):
        path = tmp_path / "picture.png"
        path.write_bytes((FOLDER / name).read_bytes())
        assert read_image_settings(path).values["seed"] == 1234567


@given(st.binary(max_size=400), st.booleans())
def test_damaged_exif_never_crashes(data, big):
    for content in (b"MM\0*" * big + data, exif({0x9286: (7, data), 0x010E: (2, data)})[: len(data) + 40]):
        for file in (jpeg(content), webp(content)):
            try:
                read_image_settings(io.BytesIO(file))
            except MetadataError as error:
                assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xe1\0\1", b"\xff\xe1\0\x09ab", b"abc", b"\xff\xe0\0\2" * 5])
def test_a_jpeg_file_that_is_cut_short_is_rejected(data):
    with pytest.raises(MetadataError, match="damaged or cut short"):
        read_jpeg_texts(io.BytesIO(data))


class CountingFile(io.BytesIO):
    def __init__(self, data):
        super().__init__(data)
        self.sizes = []

    def read(self, size=-1):
        self.sizes.append(size)
        return super().read(size)


def test_endless_parts_are_rejected_after_a_bounded_number():
    for read, data in (
        (read_jpeg_texts, b"\xff\xe0\0\2" * 10 * MAX_PARTS),
        (read_webp_texts, struct.pack("<4sI", b"ANMF", 0) * 10 * MAX_PARTS),
    ):
        file = CountingFile(data)
        with pytest.raises(MetadataError):
            read(file)
        assert len(file.sizes) <= 2 * MAX_PARTS


def test_tags_that_share_their_bytes_are_copied_once():
    tags = b"".join(struct.pack(">HHII", 0x010E, 2, 60_000, 0) for _ in range(5000))
    texts = read_jpeg_texts(io.BytesIO(jpeg((b"MM\0*\0\0\0\x08" + struct.pack(">H", 5000) + tags)[:65_000])[2:]))
    assert len(texts.shown()) <= 70_000


def test_a_megabyte_of_exif_is_not_read():
    file = CountingFile(webp(b"x" * (MAX_EXIF_BYTES + 1))[12:])
    assert read_webp_texts(file).too_long
    assert max(file.sizes) == 8


def test_many_parts_of_exif_are_read_up_to_one_bound():
    part = exif({0x010E: (2, b"x" * 60_000)})
    file = CountingFile(webp(part)[12:] * 100)
    read_webp_texts(file)
    assert sum(size > 8 for size in file.sizes) <= MAX_EXIF_BYTES // len(part)
