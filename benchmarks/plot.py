"""Results -> SVG: bars with their spread for cases, curves for growth. Nothing but text is made here."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.report import Results

    Curve = list[tuple[float, float]]  # what the configuration asks for, median

_COLOURS = ("#2a6f97", "#e07a5f", "#81b29a", "#f2cc8f", "#6d597a", "#999999")
_BAR_HEIGHT = 14
_LABEL_WIDTH = 190
_PLOT_WIDTH = 560
_MARGIN = 24
_CURVE_HEIGHT = 220


def bars(results: Results, title: str) -> str:
    """Every case has a scale of its own, from 0 to its largest p90; a line on each bar goes from p10 to p90."""
    parts = []
    y = _MARGIN + 24
    for case in results.cases:
        series = results.series(case)
        largest = max(each.value(90) for each in series.values()) or 1.0
        scale = _PLOT_WIDTH / largest
        parts.append(_text(_MARGIN, y + 11, f"{case} ({results.units[case]})", weight="bold"))
        for name, each in series.items():
            median, low, high = each.median, each.value(10), each.value(90)
            middle = y + _BAR_HEIGHT / 2
            x = _MARGIN + _LABEL_WIDTH
            parts.append(_rect(x, y, median * scale, _BAR_HEIGHT - 2, _colour(results.runtimes, name)))
            parts.append(_line(x + low * scale, middle - 1, x + high * scale, middle - 1, "#333333"))
            parts.append(_text(x + high * scale + 6, y + 11, f"{median:.2f} {name}"))
            y += _BAR_HEIGHT
        y += 10
    width = 2 * _MARGIN + _LABEL_WIDTH + _PLOT_WIDTH + 160
    return _document(width, y + _MARGIN, title, parts)


def curves(growths: Mapping[str, Mapping[str, Curve]], runtimes: list[str], unit: str, title: str) -> str:
    """One diagram for each name, both axes logarithmic, one curve for each runtime."""
    parts: list[str] = []
    y = float(_MARGIN + 24)
    for name, by_runtime in growths.items():
        parts.extend(_diagram(y, name, by_runtime, runtimes, unit))
        y += _CURVE_HEIGHT + 64
    return _document(2 * _MARGIN + _LABEL_WIDTH + _PLOT_WIDTH, y, title, parts)


def _diagram(top: float, name: str, by_runtime: Mapping[str, Curve], runtimes: list[str], unit: str) -> Iterable[str]:
    points = [point for curve in by_runtime.values() for point in curve]
    x_axis = _Axis([x for x, _ in points], _MARGIN + 60, _PLOT_WIDTH)
    y_axis = _Axis([y for _, y in points], top + 20 + _CURVE_HEIGHT, -_CURVE_HEIGHT)
    yield _text(_MARGIN, top + 11, f"run: {name} ({unit})", weight="bold")
    for value in sorted({x for x, _ in points}):
        yield _text(x_axis.place(value), top + 20 + _CURVE_HEIGHT + 16, f"{value:g}", anchor="middle")
    for value in y_axis.ticks():
        yield _line(x_axis.begin, y_axis.place(value), x_axis.begin + x_axis.length, y_axis.place(value), "#dddddd")
        yield _text(x_axis.begin - 6, y_axis.place(value) + 4, f"{value:g}", anchor="end")
    for runtime, curve in by_runtime.items():
        colour = _colour(runtimes, runtime)
        places = " ".join(f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in curve)
        yield f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'
        x, y = curve[-1]
        yield _text(x_axis.place(x) + 6, y_axis.place(y) + 4, runtime, colour=colour)


class _Axis:
    """A logarithmic axis from the smallest of the values to the largest, along a length in pixels."""

    def __init__(self, values: list[float], begin: float, length: float) -> None:
        self.begin = begin
        self.length = length
        self._low = math.log10(max(min(values), 0.1))
        self._high = max(math.log10(max(*values, 0.2)), self._low + 0.3)

    def place(self, value: float) -> float:
        return self.begin + self.length * (math.log10(max(value, 0.1)) - self._low) / (self._high - self._low)

    def ticks(self) -> list[float]:
        steps = [factor * 10.0**power for power in range(-1, 6) for factor in (1, 2, 5)]
        return [step for step in steps if self._low <= math.log10(step) <= self._high]


def _colour(runtimes: list[str], name: str) -> str:
    return _COLOURS[runtimes.index(name) % len(_COLOURS)]


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(
    x: float, y: float, text: str, *, weight: str = "normal", anchor: str = "start", colour: str = "#222222"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _document(width: float, height: float, title: str, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        ' font-family="sans-serif" font-size="11">'
    )
    background = f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>'
    return "\n".join([head, background, _text(_MARGIN, _MARGIN, title, weight="bold"), *parts, "</svg>", ""])
