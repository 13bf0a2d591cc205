"""Device failures as errors that callers without torch can catch."""

from __future__ import annotations

import pytest
import torch

from wuerst_demo.devices.device_errors import empty_cache, health_check, translate_device_errors
from wuerst_demo.errors import DeviceLost

Reported = getattr(torch, "AcceleratorError", RuntimeError)  # not in every torch from 2.8 on


@translate_device_errors
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
def test_every_out_of_memory_error_becomes_a_memory_error(error):
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
def test_a_failure_reported_by_the_device_becomes_device_lost(error):
    with pytest.raises(DeviceLost) as caught:
        fails(error)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes (2, 3) and (4, 5) do not match"), ValueError("no"), KeyError(1)]
)
def test_other_errors_are_not_translated(error):
    with pytest.raises(type(error)) as caught:
        fails(error)
    assert caught.value is error


def test_a_working_device_is_healthy():
    health_check(torch.device("cpu"))
    empty_cache(torch.device("cpu"))
    with pytest.raises(RuntimeError):
        health_check(torch.device("meta"))  # its products have no values
