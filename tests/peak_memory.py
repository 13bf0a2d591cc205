"""How much memory loading takes: `python -m tests.peak_memory [--published] [--dtype float16]`.

Writes a checkpoint of a few hundred MB (or, with --published, of the real networks' sizes) into a temporary folder,
loads it in a process of its own, and watches that process's RssAnon (its memory, but for the pages of mapped files)
from outside, every millisecond. The weights are holes in sparse files: zeros that take no room on the disk, but are
read and converted like any others. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

FIXTURE = Path(__file__).parent / "fixtures" / "checkpoint-2023"
TEXT = {"num_attention_heads": 16, "hidden_act": "gelu"}
PUBLISHED = {
    "wuerstchen-prior/prior": {"c_in": 16, "c": 1536, "c_cond": 1280, "c_r": 64, "depth": 32, "nhead": 24},
    "wuerstchen-prior/text_encoder": TEXT
    | {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20, "intermediate_size": 5120},
    "wuerstchen/decoder": {},
    "wuerstchen/text_encoder": TEXT | {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
    "wuerstchen/vqgan": {},
}
SMALL = {
    "wuerstchen-prior/prior": {"c_in": 16, "c": 512, "c_cond": 512, "c_r": 64, "depth": 8, "nhead": 8},
    "wuerstchen-prior/text_encoder": TEXT | {"hidden_size": 512, "num_hidden_layers": 4, "intermediate_size": 1024},
    "wuerstchen/decoder": {
        "c_hidden": [64, 128],
        "nhead": [-1, 4],
        "blocks": [2, 2],
        "level_config": ["CT", "CTA"],
        "inject_effnet": [False, True],
        "c_cond": 256,
        "clip_embd": 512,
    },
    "wuerstchen/text_encoder": TEXT | {"hidden_size": 512, "num_hidden_layers": 4, "intermediate_size": 1024},
    "wuerstchen/vqgan": {},
}
"""116 million numbers: 465 MB in float32."""


@dataclass(frozen=True)
class Measured:
    """In bytes: the weights in their final type, RssAnon before loading, its peak, and what stayed."""

    weights: int
    before: int
    peak: int
    after: int

    @property
    def taken(self) -> int:
        return self.peak - self.before


def write(folder: Path, networks: dict[str, dict[str, object]]) -> None:
    """A checkpoint of these networks, stored in float32, all zeros. The tokenizers are the 2023 fixture's."""
    from accelerate import init_empty_weights
    from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
    from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
    from transformers import CLIPTextConfig, CLIPTextModel

    classes = {"prior": WuerstchenPrior, "decoder": WuerstchenDiffNeXt, "vqgan": PaellaVQModel}
    shutil.copytree(FIXTURE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "*.npz"))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for place, options in networks.items():
        name = Path(place).name
        with init_empty_weights():
            if name == "text_encoder":
                network, stem = CLIPTextModel(CLIPTextConfig(**options)), "model"
                said = {"architectures": ["CLIPTextModel"]}
            else:
                network, stem = classes[name](**options), "diffusion_pytorch_model"
                said = {"_class_name": classes[name].__name__}
        (folder / place / "config.json").write_text(json.dumps(options | said))
        header, end = {}, 0
        for key, tensor in network.state_dict().items():
            size = tensor.numel() * tensor.element_size()
            dtype = "F32" if tensor.is_floating_point() else "I64"
            header[key] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
            end += size
        text = json.dumps(header).encode()
        with (folder / place / f"{stem}.safetensors").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + end)


LOADER = """
import sys
import torch
from wuerst_demo.model.checkpoint import load_parts
from wuerst_demo.model.files import locate
from wuerst_demo.model.placement import decide
torch.set_num_threads(1)
located, placement = locate(sys.argv[1]), decide("cpu", sys.argv[2])
print(placement.bytes_for(located.parameters), flush=True)
sys.stdin.readline()
parts = load_parts(located, placement)
print("loaded", flush=True)
sys.stdin.readline()
"""


def measure(folder: Path, dtype: str) -> Measured:
    """Loads `folder / "wuerstchen"` on the CPU in another process and watches it."""
    command = [sys.executable, "-c", LOADER, str(folder / "wuerstchen"), dtype]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        status = Path(f"/proc/{process.pid}/status")

        def anonymous() -> int:
            found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text())
            return int(found[1]) * 1024 if found else 0

        weights = int(process.stdout.readline())
        before = peak = anonymous()
        process.stdin.write("\n")
        process.stdin.flush()
        while not select.select([process.stdout], [], [], 0)[0]:
            peak = max(peak, anonymous())
            time.sleep(0.001)
        loaded = os.read(process.stdout.fileno(), 100)
        assert loaded == b"loaded\n", "it could not be loaded"
        after = anonymous()
        process.stdin.write("\n")
    return Measured(weights, before, peak, after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float16")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), PUBLISHED if given.published else SMALL)
        began = time.perf_counter()
        found = measure(Path(folder), given.dtype)
    print(
        f"weights {found.weights / 1e6:,.0f} MB in {given.dtype}; before {found.before / 1e6:,.0f}, "
        f"peak {found.peak / 1e6:,.0f}, after {found.after / 1e6:,.0f} MB anonymous; loading took "
        f"{found.taken / found.weights:.3f} times the weights, {time.perf_counter() - began:.1f} s"
    )


if __name__ == "__main__":
    main()
