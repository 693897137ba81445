"""Roboflow's `InferencePipeline` over many sources, its own ONNX class for YOLO11 around the same weights.

The weights come as a model package in a folder, since its registry needs an account; its documents bring
one's own model by `init_with_custom_logic`. `max_fps` lowers the rate: with the switch that its command line
sets, of each source, before decoding; without, of all together. `mode` is one of
its modes for several live sources: `freshest`, `auto`, or `legacy`, which is its default.
"""

import ast
import json
import os
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime

SILENT = ("CORE_MODEL_SAM_ENABLED", "CORE_MODEL_SAM3_ENABLED", "CORE_MODEL_YOLO_WORLD_ENABLED")
"""Models that are not used and would each complain that they are not installed."""
os.environ.update(dict.fromkeys(SILENT, "False"), ENABLE_FRAME_DROP_ON_VIDEO_FILE_RATE_LIMITING="True")

from inference import InferencePipeline  # noqa: E402 -- the environment comes first
from inference_models.models.yolov11.yolov11_onnx import YOLOv11ForObjectDetectionOnnx  # noqa: E402 -- as above


def say(**what: object) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def package(order: dict[str, Any]) -> str:
    """Lay the weights out as Roboflow keeps a model and return the folder."""
    folder = Path(order["folder"], "model")
    folder.mkdir()
    shutil.copy(order["weights"], folder / "weights.onnx")
    session = onnxruntime.InferenceSession(order["weights"], providers=["CPUExecutionProvider"])
    names = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
    (folder / "class_names.txt").write_text("\n".join(names.values()), encoding="utf-8")
    network = {
        "training_input_size": {"height": order["height"], "width": order["width"]},
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "letterbox",
        "padding_value": 114,
        "input_channels": 3,
        "scaling_factor": 255,
    }
    config = {
        "network_input": network,
        "forward_pass": {"max_dynamic_batch_size": 8},
        "post_processing": {"type": "nms", "fused": False},
    }
    (folder / "inference_config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def main() -> None:
    """Look at the streams of the order for ever."""
    order = json.loads(sys.argv[1])
    cameras = list(order["urls"])
    model = YOLOv11ForObjectDetectionOnnx.from_pretrained(
        package(order), onnx_execution_providers=["CPUExecutionProvider"]
    )

    def look(frames: list[Any]) -> Any:
        images = [frame.image for frame in frames]
        return model(images, confidence=order["confidence"], iou_threshold=order["iou"])

    def tell(found: Any, frames: Any) -> None:
        """Take a batch, or a single one where there is one source."""
        pairs = zip(found, frames, strict=True) if isinstance(found, list) else [(found, frames)]
        now = time.time()
        for each, frame in pairs:
            if frame is not None and each is not None:
                camera = cameras[frame.source_id or 0]
                say(camera=camera, time=now, count=len(each.xyxy), captured=frame.frame_timestamp.timestamp())

    say(versions={name: version(name) for name in ("inference", "inference-models", "onnxruntime", "torch")})
    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=list(order["urls"].values()),
        on_video_frame=look,
        on_prediction=tell,
        max_fps=order["fps"],
        video_processing_mode=order["mode"],
    )
    pipeline.start()
    pipeline.join()


if __name__ == "__main__":
    main()
