"""Quantities with units."""

from __future__ import annotations

import pytest

from vigil.config.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("1.5 m", 90), ("1h", 3600), ("2d", 172800), (" 1S ", 1)],
)
def test_durations(text: str, seconds: float) -> None:
    """Every unit of time is understood, with fractions, blanks and in any case."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("10B", 10), ("20MB", 20_000_000), ("512KiB", 524288), ("1.5gb", 1_500_000_000), ("1 MiB", 1 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    """Decimal and binary units of size are told apart."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "10 s x", "1e3s", "10MB", "१s", "1..5s", "nans"])
def test_what_is_no_duration(text: str) -> None:
    """A missing or foreign unit, signs and other digits are refused."""
    with pytest.raises(ValueError, match=r"^"):
        parse_duration(text)
