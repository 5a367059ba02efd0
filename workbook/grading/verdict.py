"""What a person is shown of an answer: a card in a notebook, and the same as text.

    Judgement ──▶ Verdict ──▶ card (HTML, in the colours of JupyterLab's theme)
                          └──▶ text, word for word the same

A verdict says what was seen, what was expected, asks one question, and names the belief that the answer points to. It
shows states in words and signs, never in colour alone, and holds no time and no random number: stored verdicts are
compared byte for byte.

    >>> print(Verdict(id="indexes-order", title="One index", points=0, of=3, state="not attempted", next="Read it."))
    … indexes-order · One index · not attempted yet · 0 of 3 points
      Next: Read it.

Left out: drawing. The pictures of a judgement bring their own SVG and text.
"""

from __future__ import annotations

import html
import re
import sys
from dataclasses import dataclass
from typing import Any, Literal

from workbook.errors import Unsuitable
from workbook.grading.exercise import Finding

State = Literal["graded", "not attempted", "error", "timed out", "crashed", "out of memory"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found out about one answer.

    Parameters
    ----------
    id, title, core : of the exercise
    points, of : points earned, points to be had
    state : `graded`; `not attempted` for `...`; `error` where nothing could be judged; what else became of a function that
        was asked, or in a class of the process that ran it
    findings : what the judge looked at
    misconception : the sentence that names what the answer points to ('' where nothing does)
    why : why the answer is right, after full marks
    next : what to do next, where marks are missing
    pictures : things with `_repr_svg_` and `__str__`
    """

    id: str
    title: str
    points: float
    of: int
    state: State
    core: bool = True
    findings: tuple[Finding, ...] = ()
    misconception: str = ""
    why: str = ""
    next: str = ""
    pictures: tuple[Any, ...] = ()

    @property
    def full(self) -> bool:
        """Whether it has full marks."""
        return self.state == "graded" and self.points >= self.of

    @property
    def sign(self) -> str:
        return "…" if self.state == "not attempted" else "✓" if self.full else "✗"

    @property
    def words(self) -> str:
        """The state in words: 'full marks', 'not yet'."""
        if self.state != "graded":
            return {"not attempted": "not attempted yet", "error": "could not be judged"}.get(self.state, self.state)
        return "full marks" if self.full else "partly right" if self.points > 0 else "not yet"

    @property
    def marks(self) -> str:
        return f"{number(self.points)} of {number(self.of)} point{'' if self.of == 1 else 's'}"

    @property
    def message(self) -> str:
        """The verdict in a sentence or two: what a table or a report has room for."""
        if self.state == "not attempted":
            return "not attempted yet"
        wrong = [finding for finding in self.findings if not finding.ok]
        if not wrong:
            return self.words
        parts = [wrong[0].seen, f"Expected: {wrong[0].expected}" if wrong[0].expected else "", wrong[0].question]
        return " ".join(part for part in parts if part)

    def data(self) -> dict[str, Any]:
        """The verdict as plain data."""
        return {
            "id": self.id,
            "state": self.state,
            "points": self.points,
            "of": self.of,
            "findings": [
                {"ok": f.ok, "seen": f.seen, "expected": f.expected, "question": f.question} for f in self.findings
            ],
            "misconception": self.misconception,
            "why": self.why,
            "next": self.next,
        }

    def __str__(self) -> str:
        lines = [f"{self.sign} {self.id} · {self.title} · {self.words} · {self.marks}"]
        for finding in self.findings:
            lines += _finding_lines(finding)
        for label, text in ((BELIEF, quoted(self.misconception)), ("Why", self.why), ("Next", self.next)):
            if text:
                lines.append(f"  {label}: {_indented(text)}")
        for picture in self.pictures:
            lines += ["", str(picture)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [_head(self)]
        parts += [_finding_html(finding) for finding in self.findings]
        if self.misconception:
            parts.append(_note(BELIEF, quoted(self.misconception)))
        if self.why:
            parts.append(_note("Why", self.why))
        if self.next:
            parts.append(_note("Next", self.next))
        for picture in self.pictures:
            parts.append(_picture(picture))
        return card("".join(parts), _edge(self), WIDE if self.pictures else NARROW)


BELIEF = "A mistaken belief that leads here"


def quoted(belief: str) -> str:
    """A belief in quotation marks, so that nobody takes it for advice; '' stays ''."""
    return f"“{belief}”" if belief else ""


def number(value: float) -> str:
    """A number of points without a needless point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _finding_lines(finding: Finding) -> list[str]:
    if finding.ok:
        return [f"  ✓ {_indented(finding.seen)}"]
    lines = [f"  ✗ Seen: {_indented(finding.seen)}"]
    if finding.expected:
        lines.append(f"    Expected: {_indented(finding.expected)}")
    if finding.question:
        lines.append(f"    Question: {_indented(finding.question)}")
    return lines


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n      ")


# The colours are JupyterLab's, so that they follow its theme; the fallbacks are for other viewers, such as GitHub.
INK = "var(--jp-content-font-color1, currentColor)"
SOFT = "var(--jp-content-font-color2, inherit)"
LINE = "var(--jp-border-color2, #bbb)"
PAPER = "var(--jp-layout-color1, transparent)"
SHADE = "var(--jp-layout-color2, rgba(127,127,127,0.12))"
GOOD, BAD, OPEN = "#009E73", "#D55E00", "#0072B2"


def in_notebook() -> bool:
    """Whether IPython runs this: it shows what is displayed, and nothing of a call that is assigned."""
    shell = sys.modules.get("IPython")
    return shell is not None and shell.get_ipython() is not None


def _edge(verdict: Verdict) -> str:
    return OPEN if verdict.state == "not attempted" else GOOD if verdict.full else BAD


NARROW, WIDE = "46em", "63em"
"""Wide enough to read, and wide enough for the picture of a plan in its own size."""


def card(inside: str, edge: str = OPEN, width: str = NARROW) -> str:
    """HTML in the frame that everything of ours has in a notebook, with a coloured edge."""
    return (
        f'<div style="max-width:{width};border:1px solid {LINE};border-left:6px solid {edge};border-radius:4px;'
        f"padding:0.6em 1em;margin:0.3em 0;background:{PAPER};color:{INK};"
        f'font-family:var(--jp-content-font-family, sans-serif);font-size:14px;line-height:1.5">{inside}</div>'
    )


def _head(verdict: Verdict) -> str:
    return (
        f'<div style="font-weight:600"><span style="font-size:1.15em">{verdict.sign}</span> '
        f"{html.escape(verdict.title)} · {html.escape(verdict.words)}"
        f'<span style="float:right;font-weight:400">{verdict.marks}</span></div>'
        f'<div style="color:{SOFT};font-size:12px">{html.escape(verdict.id)}'
        f"{'' if verdict.core else ' · further exercise'}</div>"
    )


def _finding_html(finding: Finding) -> str:
    if finding.ok:
        return f'<div style="margin-top:0.4em">✓ {inline(finding.seen)}</div>'
    rows = [("Seen", finding.seen), ("Expected", finding.expected), ("Question", finding.question)]
    inside = "".join(
        f'<div style="display:flex;gap:0.6em"><span style="flex:0 0 5.2em;color:{SOFT}">{label}</span>'
        f'<span style="flex:1;min-width:0;overflow-wrap:anywhere">{inline(text)}</span></div>'
        for label, text in rows
        if text
    )
    return (
        f'<div style="margin-top:0.5em;display:flex;gap:0.5em"><span>✗</span>'
        f'<div style="flex:1;min-width:0">{inside}</div></div>'
    )


def _note(label: str, text: str) -> str:
    return (
        f'<div style="margin-top:0.6em;padding:0.35em 0.7em;background:{SHADE};border-radius:3px;'
        f'overflow-wrap:anywhere"><b>{label}:</b> {inline(text)}</div>'
    )


def _picture(picture: Any) -> str:
    drawn = getattr(picture, "_repr_svg_", None)
    try:
        svg = drawn() if callable(drawn) else getattr(picture, "svg", None)
    except Unsuitable:  # larger than is drawn: the text says all
        svg = None
    if isinstance(svg, str) and svg:
        return f'<div style="margin-top:0.6em;overflow-x:auto">{svg}</div>'
    return (
        f'<pre style="margin-top:0.6em;padding:0.5em;background:{SHADE};color:{INK};white-space:pre-wrap">'
        f"{html.escape(str(picture))}</pre>"
    )


_CODE = re.compile(r"```(?:\w*\n)?(.*?)```|`([^`\n]+)`", re.DOTALL)


def inline(text: str) -> str:
    """A sentence as HTML: `code` in backticks becomes code, ``` blocks become blocks, the rest is escaped."""
    parts, at = [], 0
    for match in _CODE.finditer(text):
        parts.append(_escaped(text[at : match.start()]))
        if match.group(1) is not None:
            parts.append(
                f'<pre style="margin:0.3em 0;padding:0.4em;background:{SHADE};color:{INK};white-space:pre-wrap">'
                f"{html.escape(match.group(1).strip())}</pre>"
            )
        else:
            parts.append(
                f'<code style="background:{SHADE};color:{INK};padding:0 0.2em">{html.escape(match.group(2))}</code>'
            )
        at = match.end()
    parts.append(_escaped(text[at:]))
    return "".join(parts)


def _escaped(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")
