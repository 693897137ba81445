"""Which detection goes to which track: the matching of the greatest total weight.

Pairs that were gated out are no pairs at all, so the graph is sparse and most of it is trivial. What is
unambiguous is solved for all cameras of a batch at once; the knots that remain are few and small, and get
an exact solver in plain Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.analytics.kalman import Float64

    Indices = NDArray[np.integer[Any]]

_NO_PAIR = -1
_FEW = 32
"""Pairs up to which plain Python sees faster than numpy which of them rule others out."""


def match(row: Indices, column: Indices, weight: Float64) -> NDArray[np.intp]:
    """Return the indices of the pairs in a matching of the greatest total weight.

    Pair `i` may join `row[i]` with `column[i]` for `weight[i]` > 0; no pair is given twice. Among equal
    matchings the choice depends on the order of the pairs alone.
    """
    if len(row) <= _FEW:
        return _match_few(row, column, weight)
    alone = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1)
    if np.count_nonzero(alone) == len(alone):
        return np.arange(len(row))
    chosen = [np.flatnonzero(alone)]
    open_pairs = np.flatnonzero(~alone)
    while len(open_pairs):
        r, c, w = row[open_pairs], column[open_pairs], weight[open_pairs]
        # Worth more than the two pairs that it rules out could bring together: in every best matching.
        sure = w > _best_rival(r, w) + _best_rival(c, w)
        if not sure.any():
            chosen.append(open_pairs[_solve(r, c, w)])
            break
        chosen.append(open_pairs[sure])
        taken = np.isin(r, r[sure]) | np.isin(c, c[sure])
        open_pairs = open_pairs[~taken]
    return np.sort(np.concatenate(chosen))


def _match_few(row: Indices, column: Indices, weight: Float64) -> NDArray[np.intp]:
    """Do the same for few pairs: next to none rules another out, and the solver gets those that do."""
    count, rows, columns = len(row), row.tolist(), column.tolist()
    if len(set(rows)) == count and len(set(columns)) == count:
        return np.arange(count)
    knot = [at for at in range(count) if rows.count(rows[at]) > 1 or columns.count(columns[at]) > 1]
    chosen = set(range(count)).difference(knot)
    chosen.update(knot[at] for at in _solve(row[knot], column[knot], weight[knot]))
    return np.array(sorted(chosen), np.intp)


def _best_rival(vertex: Indices, weight: Float64) -> Float64:
    """Return for each pair the greatest weight among the other pairs of its vertex, 0 where it has none."""
    order = np.lexsort((-weight, vertex))
    ordered, sorted_weight = vertex[order], weight[order]
    first = np.empty(len(order), bool)
    first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    rival = sorted_weight[starts][np.cumsum(first) - 1]
    following = np.append(sorted_weight[1:], 0.0)
    following[np.append(starts[1:] - 1, len(order) - 1)] = 0.0
    rival[starts] = following[starts]
    result = np.empty(len(order))
    result[order] = rival
    return result


def _solve(row: Indices, column: Indices, weight: Float64) -> list[int]:
    """Return the indices of the best matching's pairs: Hungarian method with shortest augmenting paths.

    Source: Jonker and Volgenant 1987, on lists instead of a matrix. Each row may also stay alone at no
    weight, for which it has a private column: its own number, complemented.
    """
    edges: _Edges = {}
    pairs = zip(row.tolist(), column.tolist(), weight.tolist(), strict=True)
    for index, (r, c, w) in enumerate(pairs):
        edges.setdefault(r, [_Edge(r, ~r, 0.0, _NO_PAIR)]).append(_Edge(r, c, w, index))
    owner: dict[int, _Edge] = {}
    price: dict[int, float] = {}
    for r in edges:
        _augment(r, edges, owner, price)
    return sorted(edge.pair for edge in owner.values() if edge.pair != _NO_PAIR)


class _Edge(NamedTuple):
    row: int
    column: int
    weight: float
    pair: int


_Edges: TypeAlias = dict[int, list[_Edge]]


class _Step(NamedTuple):
    """How the cheapest path reaches a column: its loss, its last edge, the column before that one."""

    loss: float
    edge: _Edge
    before: int | None


def _augment(start: int, edges: _Edges, owner: dict[int, _Edge], price: dict[int, float]) -> None:
    """Bring row `start` into the matching at the least loss, moving the owners of columns where it pays."""
    reached: dict[int, _Step] = {}
    settled: dict[int, _Step] = {}
    row, loss, before = start, 0.0, None
    while True:
        for edge in edges[row]:
            there = loss - edge.weight + price.get(edge.column, 0.0)
            known = reached.get(edge.column)
            if edge.column not in settled and (known is None or there < known.loss):
                reached[edge.column] = _Step(there, edge, before)
        column = min(reached, key=lambda each: (reached[each].loss, each))
        settled[column] = reached.pop(column)
        if column not in owner:
            break
        own = owner[column]
        row, loss, before = own.row, settled[column].loss + own.weight - price.get(column, 0.0), column
    for each, step in settled.items():
        price[each] = price.get(each, 0.0) + settled[column].loss - step.loss
    end: int | None = column
    while end is not None:
        owner[end] = settled[end].edge
        end = settled[end].before
