"""The measurement of the tracker measures something; how much is not for a test to say."""

from __future__ import annotations

from vigil.bench.tracking import measure_tracker


def test_cost_is_shared_by_the_cameras() -> None:
    """An update costs CPU time, and a frame its camera's share of that."""
    cost = measure_tracker(cameras=4, objects=3, frames=5)
    assert (cost.cameras, cost.objects) == (4, 3)
    assert cost.update_ms > 0
    assert cost.frame_ms == cost.update_ms / 4
