"""From frames to boxes: models, scheduling, letterboxing, engines and their heads."""
