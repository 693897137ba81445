"""NVML's readings, from a library that stands in for the driver's; without it nobody knows."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from vigil.gpu.nvml import Nvml


class NoDriverError(Exception):
    """What NVML raises where there is no driver."""


class Library:
    """The part of `pynvml` that is used: handles are strings, and utilisation is a list as NVML gives it."""

    NVMLError = NoDriverError

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.started = 0

    def __call__(self) -> Any:
        """Be what is imported."""
        return self

    def nvmlInit(self) -> None:  # noqa: N802 -- NVML's names
        """Start, if there is a driver."""
        self.started += 1
        if self.broken:
            raise NoDriverError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802 -- as above
        """Return a GPU by its number."""
        return f"index {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802 -- as above
        """Return a GPU by its name."""
        return uuid

    def nvmlDeviceGetDecoderUtilization(self, handle: str) -> list[int]:  # noqa: N802 -- as above
        """Return per cent and sampling period."""
        return [{"index 0": 42, "index 1": 7, "GPU-b": 93}[handle], 166666]


def missing() -> Any:
    """Be an import that finds nothing."""
    raise ModuleNotFoundError("pynvml")


def test_reads_each_gpu() -> None:
    """Per cent become shares, and NVML is started once."""
    library = Library()
    meter = Nvml({}, library)
    assert (meter.busy("cuda:0"), meter.busy("cuda:1"), meter.busy("cuda")) == (0.42, 0.07, 0.42)
    assert library.started == 1


def test_goes_by_what_cuda_may_see() -> None:
    """`cuda:0` is the first that `CUDA_VISIBLE_DEVICES` names, by number or by UUID."""
    meter = Nvml({"CUDA_VISIBLE_DEVICES": "1,GPU-b"}, Library())
    assert (meter.busy("cuda:0"), meter.busy("cuda:1")) == (0.07, 0.93)


@pytest.mark.parametrize(
    ("load", "why"), [(missing, "vigil[gpu]"), (Library(broken=True), "Driver Not Loaded")]
)
def test_without_library_or_driver_nobody_knows(
    load: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and never tried again."""
    meter = Nvml({}, load)
    with caplog.at_level(logging.WARNING):
        assert [meter.busy("cuda:0"), meter.busy("cuda:1")] == [None, None]
    assert len(caplog.messages) == 1
    assert why in caplog.messages[0]
