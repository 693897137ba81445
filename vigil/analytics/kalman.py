"""Where tracked boxes are, how fast they move, and how sure that is: one Kalman filter per side of a box.

The constant-velocity filter of SORT (Bewley et al. 2016, arXiv:1602.00763) on centre, width and height.
Its axes are independent of each other, so its 8x8 matrices fall apart into four 2x2 ones per box, whose
predictions and updates are written out here for all axes of all boxes at once. The time step is real time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Float64: TypeAlias = "NDArray[np.float64]"

POSITION, VELOCITY, SPREAD, COUPLING, VELOCITY_SPREAD = range(5)
"""First axis of a state: the mean, then the three entries of its symmetric 2x2 covariance."""

PARTS = 5
AXES = 4
"""Middle axis of a state: centre x, centre y, width, height, in pixels (velocities: per second).

The boxes lie along the last one, so that what is worked out for an axis lies side by side in memory: numpy
takes a third of the time for that.
"""

# Standard deviations in units of the box's mean side, so that near and far objects behave alike;
# one value per axis. Chosen on noisy ground truth of pedestrians at 25, 10 and 5 boxes a second.
_MEASUREMENT = np.array([[0.05], [0.05], [0.06], [0.06]])
_FIRST_VELOCITY = np.array([[4.0], [4.0], [1.0], [1.0]])
"""Per second: what an object seen once may do."""
_ACCELERATION = np.array([[0.4], [0.25], [0.1], [0.1]])
"""Per second and square root of a second: how much a velocity wanders."""

_LEAST_SIDE = np.array(1.0)
"""Pixels: a side that shrinks while nobody sees it stops here."""
_RETREAT = np.array(-2.0)
"""Twice the fastest retreat that counts, per second: a box that shrinks unseen to nothing flees no faster."""
_HALF = np.array(0.5)
"""An array, which numpy need not make of a number first."""


def begin(box: Float64) -> Float64:
    """Return the states `(5, 4, n)` of boxes `(4, n)` (centre, size) that are seen for the first time."""
    state = np.zeros((PARTS, *box.shape))
    scale = _scale(box)
    state[POSITION] = box
    state[SPREAD] = np.square(_MEASUREMENT * scale)
    state[VELOCITY_SPREAD] = np.square(_FIRST_VELOCITY * scale)
    return state


def predict(state: Float64, seconds: Float64) -> None:
    """Move states `(5, 4, n)` on by `seconds` `(n,)` or `(1,)`, none negative, in place."""
    position, velocity, spread, coupling, velocity_spread = state
    step = seconds.reshape(()) if len(seconds) == 1 else seconds
    noise = _noise(position, velocity)
    noise *= step
    position += velocity * step
    spread += step * (coupling + coupling + step * (velocity_spread + noise / 3))
    coupling += step * (velocity_spread + noise * _HALF)
    velocity_spread += noise
    sides = position[2:]
    np.maximum(sides, _LEAST_SIDE, out=sides)


def innovation_spread(state: Float64) -> Float64:
    """Return the variances `(4, n)` of where a detection may be, seen from predicted states."""
    spread = _MEASUREMENT * _scale(state[POSITION])
    np.square(spread, out=spread)
    spread += state[SPREAD]
    return spread


def correct(state: Float64, box: Float64, innovation: Float64 | None = None) -> None:
    """Update predicted states `(5, 4, n)` in place with the boxes `(4, n)` detected for them.

    `innovation` is what `innovation_spread` says of them, where that is known already.
    """
    if innovation is None:
        innovation = innovation_spread(state)
    position, velocity, spread, coupling, velocity_spread = state
    surprise = box - position
    gain, velocity_gain = spread / innovation, coupling / innovation
    position += gain * surprise
    velocity += velocity_gain * surprise
    velocity_spread -= velocity_gain * coupling
    left = 1 - gain
    coupling *= left
    spread *= left
    sides = position[2:]
    np.maximum(sides, _LEAST_SIDE, out=sides)


def _noise(position: Float64, velocity: Float64) -> Float64:
    """Return `(4, n)` how much the velocities' variances grow in a second.

    Beside what objects do of themselves there is what perspective does. What comes nearer at a steady pace
    accelerates in the picture by twice its velocity times the rate at which it grows: with x = X / Z and Z'
    steady, x'' = 2 x' (-Z' / Z), and a box's sides grow by -Z' / Z. Growth is too noisy to be predicted with,
    so that acceleration widens what is thought possible instead of moving it.
    """
    scale = _scale(position)
    # What both sides grow by over their mean is twice the rate.
    growth = (velocity[2] + velocity[3]) / scale
    approach = np.maximum(growth, _RETREAT, out=growth) * velocity
    noise: Float64 = _ACCELERATION * scale
    np.square(noise, out=noise)
    noise += np.square(approach, out=approach)
    return noise


def _scale(box: Float64) -> Float64:
    """Return the mean sides `(n,)` of boxes `(4, n)`."""
    scale: Float64 = box[2] + box[3]
    scale *= _HALF
    return scale
