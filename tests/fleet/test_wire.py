"""What travels between the page and replicas."""

from __future__ import annotations

import dataclasses

import pytest

from wuerst_demo.fleet import wire


@pytest.mark.parametrize(
    "kind", [wire.ReplicaDescription, wire.ImageJob, wire.ImageBytes, wire.StepRecord, wire.Report]
)
def test_what_travels_cannot_be_changed(kind):
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(object.__new__(kind), name, None)
