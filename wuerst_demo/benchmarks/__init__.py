"""Benchmarks: this project and the diffusers pipelines on the same weights. Nothing in the app imports them."""
