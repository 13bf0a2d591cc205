"""Texts of an untrusted image file by keyword, and the bounds within which they are read."""

from __future__ import annotations

from dataclasses import dataclass, field

from wuerst_demo.errors import ImageFileError
from wuerst_demo.images.xmp import XMP_COMMENT, XMP_DESCRIPTION, xmp_text

MAX_TEXT_BYTES = 2**18
"""Most text of one file that is read, after decompression."""
MAX_EXIF_BYTES = 2**18
"""Most EXIF data of one file that is read."""
MAX_EXCERPT_CHARS = 4096
"""How much is read of a text that holds no settings, to be shown to the user."""
MAX_EXCERPTS = 16
RECORD_KEYWORD = "wuerst_demo"
EMBEDDINGS_KEYWORD = "wuerst_demo_image_embeddings"
"""The prior's result of the image, see `variation.encode_image_embeddings`."""
PARAMETERS_KEYWORD = "parameters"
"""The format of the AUTOMATIC1111 web UI, which writes it into EXIF's UserComment too."""
GRAPH_KEYWORD = "prompt"
"""ComfyUI's graph."""
XMP_KEYWORD = "XML:com.adobe.xmp"
SETTINGS_KEYWORDS = frozenset(
    {RECORD_KEYWORD, EMBEDDINGS_KEYWORD, PARAMETERS_KEYWORD, GRAPH_KEYWORD, XMP_KEYWORD}
    | {"invokeai_metadata", "invokeai", "sd-metadata", "Dream", "Comment", "Description", "Software", "Source"}
    | {"negative_prompt", "seed", "width", "height", "num_inference_steps", "guidance_scale", "sampler_name"}
    | {"use_stable_diffusion_model", "Prompt", "Negative Prompt", "Seed", "Width", "Height", "Steps", "Guidance Scale"}
    | {"Sampler", "Stable Diffusion model", "negative-prompt", "steps", "scale", "sampler"}
)
"""Keywords whose texts are read whole; others are shown, not parsed."""


@dataclass
class ImageTexts:
    """Texts collected from one file. Those that exceed the bounds are left out."""

    settings: dict[str, str] = field(default_factory=dict)
    """Texts with one of SETTINGS_KEYWORDS."""
    excerpts: dict[str, str] = field(default_factory=dict)
    """Beginnings of all other texts."""
    remaining: int = MAX_TEXT_BYTES
    """How many more bytes of text may be read."""
    remaining_exif: int = MAX_EXIF_BYTES
    """How many more bytes of EXIF data may be read."""
    too_long: bool = False
    """Whether a text was left out."""

    def add(self, keyword: str, text: str) -> None:
        """Keep a text that has been read within `remaining`."""
        if keyword in SETTINGS_KEYWORDS:
            self.settings[keyword] = text
        elif len(self.excerpts) < MAX_EXCERPTS:
            self.excerpts[keyword] = text[:MAX_EXCERPT_CHARS]

    def shown(self) -> str:
        """The texts for a user to read and copy, "" for none. Of XMP, which most files have, only what a user wrote."""
        texts = {**self.settings, **self.excerpts}
        xmp = texts.pop(XMP_KEYWORD, "")
        texts |= {name: text for name in (XMP_COMMENT, XMP_DESCRIPTION) if (text := xmp_text(xmp, name))}
        return "\n".join(f"{name}: {text[:MAX_EXCERPT_CHARS]}" for name, text in texts.items())


def damaged_error() -> ImageFileError:
    return ImageFileError("The picture file is damaged or cut short; use the original file.")


def decode_bytes(data: bytes) -> str:
    """Text of bytes that are Latin-1 by their format: UTF-8 if they are valid as such, as many programs write it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
