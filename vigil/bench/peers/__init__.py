"""Scripts that run vigil's peers as their own documents recommend, each by a Python of its own.

A script takes its order as one JSON argument (`urls` by camera, `weights`, `height`, `width`, `fps`,
`stride`, `confidence`, `iou`, `folder`, `engine`, and `mode` of Roboflow's pipeline) and prints lines of
JSON: first `{"versions": {...}}`, then one per result, `{"camera", "time", "count"}`, with `captured` where
the peer knows when it took the frame. The scripts import nothing of vigil. How fair they are is said in
docs/reference/benchmarks.md.
"""
