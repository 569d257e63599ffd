"""One line chart as SVG: sizes on a logarithmic axis, costs from 0 up. Text of its own, since a
plotting library would weigh more than all that the service needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 40, 50

Points = Sequence[tuple[float, float]]


def line_chart(title: str, across: str, up: str, points: Points) -> str:
    """`points`: (size, cost), sizes above 0."""
    sizes, costs = [x for x, _ in points], [y for _, y in points]
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    most = max(costs) * 1.1 or 1.0

    def place(size: float, cost: float) -> tuple[float, float]:
        share = (math.log10(size) - low) / (high - low or 1.0)
        x = _LEFT + share * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - cost / most * (_HEIGHT - _TOP - _BOTTOM)
        return round(x, 1), round(y, 1)

    base = _HEIGHT - _BOTTOM
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}"'
            ' font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_WIDTH / 2, 20, title, "middle"),
        _text(_WIDTH / 2, _HEIGHT - 10, across, "middle"),
        _text(_LEFT, _TOP - 8, up, "middle"),
        f'<path d="M{_LEFT} {_TOP}V{base}H{_WIDTH - _RIGHT}" fill="none" stroke="black"/>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = place(sizes[0], most * share)[1]
        parts.append(_text(_LEFT - 6, y + 4, f"{most * share:.3g}", "end"))
        parts.append(f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
    places = [place(size, cost) for size, cost in points]
    for (x, y), (size, _) in zip(places, points, strict=True):
        parts.append(_text(x, base + 16, f"{size:g}", "middle"))
        parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="#1f5fa8"/>')
    line = "L".join(f"{x} {y}" for x, y in places)
    parts += [f'<path d="M{line}" fill="none" stroke="#1f5fa8"/>', "</svg>"]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
