"""How busy the decoders of NVIDIA GPUs are, by NVML. Only importer of `pynvml`, the extra `vigil[gpu]`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class DecoderMeter(Protocol):
    """Knows how busy decoders are."""

    def busy(self, device: str) -> float | None:
        """Return the share of time, 0 to 1, that the decoder of `cuda:<n>` is busy, `None` if unknown."""


class Nvml:
    """Reads through the driver's library; where that is missing it says so once, and knows nothing."""

    def __init__(self, environ: Mapping[str, str], load: Callable[[], Any] | None = None) -> None:
        """`CUDA_VISIBLE_DEVICES` in `environ` says which GPU `cuda:0` is; `load` imports `pynvml`."""
        self._chosen = [name.strip() for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        self._load = load or _pynvml
        self._handles: dict[str, Any] = {}
        self._given_up = False

    def busy(self, device: str) -> float | None:
        """Read as `DecoderMeter.busy` says."""
        if self._given_up:
            return None
        try:
            library = self._load()
        except ImportError:
            self._give_up("pip install 'vigil[gpu]'")
            return None
        try:
            return self._read(library, device)
        except library.NVMLError as error:
            self._give_up(str(error))
            return None

    def _read(self, library: Any, device: str) -> float:
        if not self._handles:
            library.nvmlInit()
        if device not in self._handles:
            self._handles[device] = self._handle(library, device)
        percent, _sampled_over = library.nvmlDeviceGetDecoderUtilization(self._handles[device])
        return float(percent) / 100

    def _handle(self, library: Any, device: str) -> Any:
        """Return NVML's handle; it counts as CUDA does with `CUDA_DEVICE_ORDER=PCI_BUS_ID`."""
        number = int(device.partition(":")[2] or 0)
        name = self._chosen[number] if number < len(self._chosen) else str(number)
        if name.isdecimal():
            return library.nvmlDeviceGetHandleByIndex(int(name))
        return library.nvmlDeviceGetHandleByUUID(name)

    def _give_up(self, why: str) -> None:
        self._given_up = True
        log.warning("how busy the GPUs' decoders are is not known, so none is relieved: %s", why)


def _pynvml() -> Any:
    import pynvml  # noqa: PLC0415 -- an extra that few have

    return pynvml
