"""The weights as ultralytics opens them, and the versions of what runs them."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any


def opened(order: dict[str, Any]) -> str:
    """Return the ONNX file, or the folder that an export for OpenVINO would be: the same network, in fp32.

    In which precision OpenVINO computes is left to it, as ultralytics leaves it: BF16 where the CPU has it.
    """
    if order["engine"] != "openvino":
        return str(order["weights"])
    import openvino  # noqa: PLC0415 -- only where it is asked for

    folder = Path(order["folder"], "weights_openvino_model")
    network = openvino.convert_model(order["weights"])
    metadata = {key: str(value) for key, value in network.get_rt_info(["framework"]).value.items()}
    openvino.save_model(network, folder / "weights.xml", compress_to_fp16=False)
    (folder / "metadata.yaml").write_text(json.dumps(metadata), encoding="utf-8")  # JSON is YAML
    return str(folder)


def versions(order: dict[str, Any]) -> dict[str, str]:
    """Return the versions to print."""
    return {name: version(name) for name in ("ultralytics", order["engine"], "torch", "opencv-python")}
