"""The matching against scipy's, and what decides between equal ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from vigil.analytics.assign import match


@st.composite
def graphs(draw: st.DrawFn) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Draw weights `(rows, columns)`, 0 where there is no pair: few or many pairs, with and without ties."""
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    even = draw(st.booleans())
    weight = rng.integers(1, 4, (rows, columns)) if even else rng.uniform(0.1, 1, (rows, columns))
    return np.where(rng.random((rows, columns)) < draw(st.floats(0, 1)), weight, 0.0)


@settings(deadline=None, max_examples=300)
@given(graphs())
def test_matching_is_the_best_there_is(weight: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    """No row or column is matched twice, and the total weight is that of scipy's optimal assignment."""
    row, column = np.nonzero(weight)
    chosen = match(row, column, weight[row, column])
    assert len(set(row[chosen])) == len(chosen) == len(set(column[chosen]))
    best = weight[linear_sum_assignment(weight, maximize=True)].sum()
    assert weight[row[chosen], column[chosen]].sum() == pytest.approx(best)


def test_two_good_pairs_beat_the_best_one() -> None:
    """A pair that is the best of both its sides gives way where that brings more in total."""
    row, column = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert match(row, column, np.array([0.9, 0.6, 0.7])).tolist() == [1, 2]
    assert match(row, column, np.array([0.9, 0.2, 0.3])).tolist() == [0]


def test_nothing_matches_nothing() -> None:
    """No pairs, no matching."""
    none = np.empty(0, np.intp)
    assert len(match(none, none, np.empty(0))) == 0
