"""A picture and its text twin, and the few shapes that pictures here are made of.

    Canvas ── rect, line, label ──▶ Picture(svg, text) ── Jupyter ──▶ the SVG;  print ──▶ the text

Each picture draws its own light card, so that it reads alike on a light and on a dark theme. Colours are those of
Okabe and Ito (Color Universal Design, 2008), told apart by people who do not see red or green; nothing is said by
colour alone. The output is the same for the same data: no random ids, no times.

    >>> canvas = Canvas(100, 40, "A bar")
    >>> canvas.rect(10, 10, 50, 12, BLUE)
    >>> print(Picture(canvas.svg(), "bar: 50"))
    bar: 50

Left out: animation, interaction (the widgets bring their own).
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
INK, FAINT, RULE, CARD = "#1f2328", "#57606a", "#d0d7de", "#fbfcfd"
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
CHAR_PX = 0.56  # mean width of a character of that font, in units of its size
NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Letters that XML has no way to write (W3C, XML 1.0, production 2)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG and the text that says the same."""

    svg: str
    text: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def shortened(text: str, width_px: float, size_px: float = 12) -> str:
    """The text, cut with an ellipsis where it would be wider than `width_px`.

    >>> shortened("a long condition", 60)
    'a long …'
    """
    room = max(1, int(width_px / (size_px * CHAR_PX)))
    return text if len(text) <= room else text[: room - 1].rstrip() + " …"


def escape(text: str) -> str:
    """The text as XML writes it, with a mark in place of each letter that no XML may hold.

    >>> escape("a < b"), escape("\\x01") == "\\ufffd"
    ('a &lt; b', True)
    """
    return html.escape(NO_XML.sub("\ufffd", text))


class Canvas:
    """A sheet of `width` by `height` pixels with a title; `svg()` gives the whole document.

    All places, sizes and widths are pixels from its left upper corner. A `tip` is what is shown under the pointer.
    """

    def __init__(self, width: float, height: float, title: str, description: str = "") -> None:
        self.width, self.height, self.title, self.description = width, height, title, description
        self._shapes: list[str] = []

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        *,
        stroke: str = "none",
        radius: float = 2,
        dashed: bool = False,
        weight: float = 1,
        tip: str = "",
    ) -> None:
        """A rectangle whose left upper corner is at `x`, `y`; one of a width below 0 has none."""
        dash = (f' stroke-width="{weight:g}"' if weight != 1 else "") + (' stroke-dasharray="4 3"' if dashed else "")
        shape = (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" rx="{radius:g}" '
            f'fill="{fill}" stroke="{stroke}"{dash}'
        )
        self._shapes.append(f"{shape}><title>{escape(tip)}</title></rect>" if tip else f"{shape}/>")

    def line(
        self, points: list[tuple[float, float]], colour: str = RULE, *, width: float = 1.5, dashed: bool = False
    ) -> None:
        """A line through the points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dash}/>')

    def polygon(self, points: list[tuple[float, float]], fill: str) -> None:
        """A filled shape with its corners at the points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(f'<polygon points="{path}" fill="{fill}"/>')

    def circle(self, x: float, y: float, radius: float, fill: str, *, tip: str = "") -> None:
        """A filled circle around `x`, `y`."""
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}">{inner}</circle>')

    def label(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        colour: str = INK,
        bold: bool = False,
        anchor: str = "start",
        tip: str = "",
        mono: bool = False,
    ) -> None:
        """A line of text whose base line is at `y`; it begins, ends or has its middle (`anchor`) at `x`."""
        weight = ' font-weight="600"' if bold else ""
        family = ' font-family="ui-monospace, Menlo, Consolas, monospace"' if mono else ""
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}"{weight}{family}>'
            f"{inner}{escape(text)}</text>"
        )

    def svg(self) -> str:
        """The document: the card, and all that was drawn, in its order."""
        description = f"<desc>{escape(self.description)}</desc>" if self.description else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}" height="{self.height:g}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" role="img" font-family="{FONT}">'
            f"<title>{escape(self.title)}</title>{description}"
            f'<rect x="0.5" y="0.5" width="{self.width - 1:g}" height="{self.height - 1:g}" rx="6" fill="{CARD}" stroke="{RULE}"/>'
            + "".join(self._shapes)
            + "</svg>"
        )
