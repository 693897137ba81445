"""The design of a hundred tutorials: a thread per camera, `cap.read()`, a JPEG there and back, one lock.

One `YOLO()` is shared, so its calls are taken in turn; every frame is read, and each `stride`-th looked at.
A camera that cannot be opened, or falls silent, ends its thread: that is the design.
"""

import json
import sys
import threading
import time
from typing import Any

import cv2
from ultralytics import YOLO
from weights import opened, versions

LOCK = threading.Lock()


def say(**what: object) -> None:
    """Print one line, from any thread."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def watch(camera: str, url: str, model: YOLO, order: dict[str, Any]) -> None:
    """Read one camera until it ends, and look at every `stride`-th frame."""
    capture = cv2.VideoCapture(url)
    number = 0
    while True:
        there, frame = capture.read()
        if not there:
            return
        captured = time.time()
        number += 1
        if number % order["stride"]:
            continue
        _, jpeg = cv2.imencode(".jpg", frame)
        picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        with LOCK:
            [result] = model(
                picture,
                imgsz=[order["height"], order["width"]],
                conf=order["confidence"],
                iou=order["iou"],
                verbose=False,
            )
            say(camera=camera, time=time.time(), count=len(result.boxes), captured=captured)


def main() -> None:
    """Start a thread per camera and wait for all."""
    order = json.loads(sys.argv[1])
    model = YOLO(opened(order), task="detect")
    say(versions=versions(order))
    threads = [
        threading.Thread(target=watch, args=(camera, url, model, order), daemon=True)
        for camera, url in order["urls"].items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
