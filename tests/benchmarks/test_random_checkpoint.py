from __future__ import annotations

from wuerst_demo.benchmarks.random_checkpoint import stored_bytes, write_checkpoint
from wuerst_demo.checkpoints.resolve import resolve_checkpoint
from wuerst_demo.devices.placement import decide_placement
from wuerst_demo.networks.loader import load_components
from wuerst_demo.placement_options import PlacementOptions


def test_a_random_checkpoint_loads_and_has_the_announced_size(tiny, tmp_path):
    write_checkpoint(tmp_path, tiny, "random")
    files = list(tmp_path.rglob("*.safetensors"))
    assert 0 < sum(path.stat().st_size for path in files) - stored_bytes(tiny) < 2**20
    components = load_components(
        resolve_checkpoint(str(tmp_path / "wuerstchen")), decide_placement(PlacementOptions("cpu", "float16"))
    )
    for network in (components.prior, components.decoder, components.vqgan):
        weights = [tensor for tensor in network.parameters() if tensor.dim() > 1]
        assert all(tensor.float().std() > 0 for tensor in weights)
