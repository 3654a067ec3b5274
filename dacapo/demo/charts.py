"""Curves as SVG, drawn by hand, in colours that the page around them chooses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

import attrs

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 36


@attrs.frozen
class Curve:
    """A line through points; ``style`` is a class of the page's style sheet."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "first"
    dots: bool = False


@attrs.frozen
class _Axis:
    """Turns values into positions on the canvas, linearly or by their logarithm."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.begin + (value - low) / (high - low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            steps = [m * 10.0**e for e in range(-9, 9) for m in (1, 2, 5)]
            return [step for step in steps if self.low <= step <= self.high]
        span = self.high - self.low
        step = 10.0 ** math.floor(math.log10(span))
        step = next(s for s in (step / 5, step / 2, step, step * 2) if span / s <= 7)
        return [
            step * i
            for i in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        ]


def chart(curves: Iterable[Curve], x_label: str, y_label: str, logarithmic: bool = False) -> str:
    """Draw curves into one picture with axes and a legend."""
    curves = [_finite(curve) for curve in curves]
    xs = [x for curve in curves for x in curve.x]
    ys = [y for curve in curves for y in curve.y if y > 0 or not logarithmic]
    if not ys:
        return "<p>nothing to draw yet</p>"
    across = _Axis(min(xs), max(max(xs), min(xs) + 1), LEFT, WIDTH - RIGHT)
    margin = 1.15 if logarithmic else 0.06 * (max(ys) - min(ys) or 1)
    low, high = (min(ys) / margin, max(ys) * margin) if logarithmic else (min(ys) - margin, max(ys) + margin)
    up = _Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    parts = [*_grid(across, up), *(_line(curve, across, up) for curve in curves), *_legend(curves)]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(
        f'<text transform="rotate(-90)" x="{-middle}" y="12" text-anchor="middle">{escape(y_label)}</text>'
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _finite(curve: Curve) -> Curve:
    points = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    return attrs.evolve(curve, x=[x for x, _ in points], y=[y for _, y in points])


def _grid(across: _Axis, up: _Axis) -> Iterable[str]:
    for tick in up.ticks():
        y = f"{up(tick):.1f}"
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 6}" y="{y}" dy="0.32em" text-anchor="end">{tick:g}</text>'
    for tick in across.ticks():
        yield f'<text x="{across(tick):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{tick:g}</text>'


def _line(curve: Curve, across: _Axis, up: _Axis) -> str:
    points = [
        (across(x), up(y)) for x, y in zip(curve.x, curve.y, strict=True) if y > 0 or not up.logarithmic
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    line = f'<polyline class="{curve.style}" points="{path}"><title>{escape(curve.label)}</title></polyline>'
    if not curve.dots:
        return line
    dots = (
        f'<circle class="{curve.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">'
        f"<title>{escape(curve.label)}: {value:.4g} at {at:g}</title></circle>"
        for (x, y), at, value in zip(points, curve.x, curve.y, strict=True)
    )
    return line + "".join(dots)


def _legend(curves: Sequence[Curve]) -> Iterable[str]:
    """Name the curves in the corner that they are least likely to be in: the end of the first."""
    x = WIDTH - RIGHT - 8
    named = [curve for curve in curves if curve.label]
    rising = bool(named) and named[0].y[-1] > named[0].y[0]
    top = HEIGHT - BOTTOM - 15 * len(named) if rising else TOP + 12
    for at, curve in enumerate(named):
        y = top + 15 * at
        yield f'<line class="{curve.style}" x1="{x - 16}" x2="{x}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{x - 22}" y="{y}" dy="0.32em" text-anchor="end">{escape(curve.label)}</text>'
