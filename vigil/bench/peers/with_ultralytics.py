"""ultralytics' own loader: one `predict` over a `.streams` file, every frame of the batch in one call.

Its documents lower the rate of streams by `vid_stride`; `stream_buffer` stays off, so that the newest frame
is looked at; for a CPU they recommend an export to ONNX, for Intel's to OpenVINO.
"""

import json
import sys
import time
from pathlib import Path

from ultralytics import YOLO
from weights import opened, versions


def say(**what: object) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Look at the streams of the order for ever."""
    order = json.loads(sys.argv[1])
    cameras = list(order["urls"])
    streams = Path(order["folder"], "cameras.streams")
    streams.write_text("\n".join(order["urls"].values()), encoding="utf-8")
    model = YOLO(opened(order), task="detect")
    say(versions=versions(order))
    results = model.predict(
        source=str(streams),
        stream=True,
        imgsz=[order["height"], order["width"]],
        conf=order["confidence"],
        iou=order["iou"],
        vid_stride=order["stride"],
        verbose=False,
    )
    for number, result in enumerate(results):
        say(camera=cameras[number % len(cameras)], time=time.time(), count=len(result.boxes))


if __name__ == "__main__":
    main()
