"""The words of vigil as frozen data: frames, detections, models, results. Standard library and numpy only."""
