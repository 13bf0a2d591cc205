"""A device's faults in words that callers without torch know."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import pytest
import torch

from wuerst_demo.errors import DeviceLost, UserError
from wuerst_demo.model.faults import probe, relieve, telling
from wuerst_demo.request import Limits

Reported = getattr(torch, "AcceleratorError", RuntimeError)  # not in every torch from 2.8 on


@telling
def fails(error):
    raise error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        Reported("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_every_devices_way_of_running_out_of_memory_is_a_memory_error(error):
    with pytest.raises(MemoryError) as caught:
        fails(error)
    assert caught.value.__context__ is None  # it would hold the failed step's tensors


@pytest.mark.parametrize(
    "error",
    [
        Reported("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ..."),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`"),
    ],
)
def test_what_the_device_itself_reports_is_its_loss(error):
    with pytest.raises(DeviceLost) as caught:
        fails(error)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes (2, 3) and (4, 5) do not match"), ValueError("no"), KeyError(1)]
)
def test_any_other_fault_stays_what_it_is(error):
    with pytest.raises(type(error)) as caught:
        fails(error)
    assert caught.value is error


def test_a_device_that_computes_is_alive():
    probe(torch.device("cpu"))
    relieve(torch.device("cpu"))


def spoilt(row):
    return dataclasses.replace(row, latents=row.latents * float("nan"))


def test_a_row_of_no_numbers_is_said_in_its_step_and_takes_nobody_along(cascade):
    wish = {"prompt": "a red cat", "width": 128, "height": 128, "prior_steps": 2, "decoder_steps": 1}
    rows = [
        cascade.begin(Limits().request({**wish, "seed": seed, "prior_guidance": guidance}))[0]
        for seed, guidance in ((1, 0.0), (2, 4.0), (3, 4.0))
    ]
    moved = cascade.step([rows[0], spoilt(rows[1]), rows[2]])
    assert isinstance(moved[1], UserError)
    assert "not numbers in this data type; lower the guidance" in str(moved[1])
    alone = [cascade.step([row])[0] for row in (rows[0], rows[2])]
    for row, single in zip((moved[0], moved[2]), alone, strict=True):
        assert row.request.seed == single.request.seed
        assert torch.allclose(row.latents, single.latents, rtol=1e-4, atol=1e-4)


def test_a_step_holds_on_to_nothing_of_the_rows_that_it_moved(cascade):
    """A row that is let go is gone after the next step of the others: their tensors are new ones."""
    wish = Limits().request({"prompt": "x", "width": 128, "height": 128, "images": 2, "seed": 1, "prior_steps": 4})
    rows = cascade.step(cascade.step(cascade.begin(wish)))
    lost, kept = rows
    batch = weakref.ref(lost.latents.untyped_storage())
    memory = lost.latents.untyped_storage().data_ptr()
    assert kept.latents.untyped_storage().data_ptr() == memory  # one batch's tensor, which both rows look into
    gone = weakref.ref(lost)
    del lost, rows
    (kept,) = cascade.step([kept])
    (kept,) = cascade.step([kept])
    gc.collect()
    assert gone() is None
    assert batch() is None
