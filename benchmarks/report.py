"""Measurements -> medians with their spread and ratios, as an aligned table and as JSON."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

    from benchmarks.commands import Measurement


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which *percent* of the values lie, with linear interpolation between neighbours."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


class Series:
    """What was measured of one runtime in one case."""

    __slots__ = ("measurements",)

    def __init__(self, measurements: list[Measurement]) -> None:
        self.measurements = measurements

    @property
    def values(self) -> list[float]:
        return [measurement.value for measurement in self.measurements]

    def value(self, percent: float) -> float:
        return percentile(self.values, percent)

    @property
    def median(self) -> float:
        return self.value(50)

    @property
    def cpu_ms(self) -> float | None:
        """The median processor time."""
        known = [measurement.cpu_ms for measurement in self.measurements if measurement.cpu_ms is not None]
        return percentile(known, 50) if known else None

    def as_json(self) -> dict[str, Any]:
        cpu_ms = self.cpu_ms
        return {
            "median": round(self.median, 3),
            "p10": round(self.value(10), 3),
            "p90": round(self.value(90), 3),
            "cpu_ms": None if cpu_ms is None else round(cpu_ms, 3),
            "values": [round(value, 3) for value in self.values],
        }


class Results:
    """Series by case and runtime, in the order in which they came; the first runtime is compared with the others."""

    __slots__ = ("_series", "runtimes", "units")

    def __init__(self, runtimes: list[str]) -> None:
        self.runtimes = runtimes
        self.units: dict[str, str] = {}
        self._series: dict[str, dict[str, Series]] = {}

    def add(self, case: str, unit: str, runtime: str, measurement: Measurement) -> None:
        self.units[case] = unit
        series = self._series.setdefault(case, {}).setdefault(runtime, Series([]))
        series.measurements.append(measurement)

    @property
    def cases(self) -> list[str]:
        return list(self._series)

    def series(self, case: str) -> dict[str, Series]:
        """By runtime, in the order of ``runtimes``."""
        known = self._series[case]
        return {runtime: known[runtime] for runtime in self.runtimes if runtime in known}

    def ratio(self, case: str, peer: str) -> float | None:
        """The first runtime's median by the peer's: below 1, the first one is cheaper. None where one is missing."""
        known = self._series[case]
        first = known.get(self.runtimes[0])
        if first is None or peer not in known or known[peer].median == 0:
            return None
        return first.median / known[peer].median

    def as_json(self) -> dict[str, Any]:
        return {
            case: {"unit": self.units[case], **{name: series.as_json() for name, series in self.series(case).items()}}
            for case in self.cases
        }

    def print(self, file: TextIO) -> None:
        """A block of lines for each case, the columns aligned over all of them."""
        first = self.runtimes[0]
        rows = [("case", "runtime", "median", "p10", "p90", "cpu", f"{first} is")]
        for case in self.cases:
            for index, (runtime, series) in enumerate(self.series(case).items()):
                ratio = None if runtime == first else self.ratio(case, runtime)
                cpu_ms = series.cpu_ms
                rows.append(
                    (
                        f"{case} [{self.units[case]}]" if index == 0 else "",
                        runtime,
                        _number(series.median),
                        _number(series.value(10)),
                        _number(series.value(90)),
                        "-" if cpu_ms is None else _number(cpu_ms),
                        "" if ratio is None else f"{ratio:.2f} x",
                    )
                )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = [
                f"{cell:<{width}}" if column < 2 else f"{cell:>{width}}"
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(cells).rstrip(), file=file)


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
