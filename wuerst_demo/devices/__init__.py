"""Devices: hardware, memory estimate, placement, and device errors."""
