"""Both sides of a comparison on the same weights."""

from __future__ import annotations

import pytest
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import MixingResidualBlock

from wuerst_demo.benchmarks.diffusers_baseline import load_both, resolve_for_comparison
from wuerst_demo.errors import SettingsError
from wuerst_demo.networks.text_kv_cache import TextKVCache
from wuerst_demo.settings import Settings


def test_only_this_projects_networks_are_optimized(checkpoint_2023):
    settings = Settings(model=str(checkpoint_2023 / "wuerstchen"), device="cpu")
    unoptimized, optimized, _ = load_both(settings, resolve_for_comparison(settings))
    for network in ("prior", "decoder"):
        assert isinstance(getattr(optimized, network), TextKVCache)
        assert not isinstance(getattr(unoptimized, network), TextKVCache)
    blocks = [{type(block) for block in each.vqgan.up_blocks} for each in (unoptimized, optimized)]
    assert [MixingResidualBlock in types for types in blocks] == [True, False]
    assert unoptimized.prior_text_encoder is optimized.prior_text_encoder


def test_offload_is_rejected_before_a_checkpoint_is_searched():
    with pytest.raises(SettingsError, match="leave --offload out"):
        resolve_for_comparison(Settings(model="no/such-checkpoint", offload="model"))
