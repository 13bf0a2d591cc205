"""Checkpoints: names and folders resolved to verified files. Does not import torch."""
