"""The pictures of the README, made by really running what they show: `python docs/make.py`.

    00_start in JupyterLab, run from top to bottom ── the two queries and their plans ──▶ start.png
                                                   └─ a wrong answer to start-mend    ──▶ verdict.png
    a join that PostgreSQL misjudges, EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
                           ── workbook plan FILE --svg, in the same browser          ──▶ plan.png

The learner of the pictures has always the same seed, so that they show the same variant. It takes about a minute, and
needs a Chromium. Fonts differ from machine to machine, and so do the pictures, a little.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Locator, Page, expect  # noqa: E402

from tests.browser.lab import Desk, Learner, browser, learner  # noqa: E402
from workbook.errors import WorkbookError  # noqa: E402
from workbook.exercises.start.mend import EXERCISE  # noqa: E402

SEED = 7  # whose variant of start-mend is the query of the notebook's beginning
WIDTH_PX, SCALE = 1120, 1.15
BYTES_MAX = 200_000
MISJUDGED = """
import json
from sqlalchemy import text
from workbook import shop
deliveries = "CREATE TABLE deliveries AS SELECT order_id, order_id % 20 AS depot, order_id % 20 / 2 AS region FROM orders"
units = "SELECT sum(quantity) FROM deliveries d JOIN order_lines l USING (order_id) WHERE depot = 7 AND region = 3"
with shop(orders=600_000).begin() as connection:
    for statement in (deliveries, "ANALYZE deliveries"):
        connection.execute(text(statement))
    plan = connection.execute(text("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + units)).scalar_one()
print(json.dumps(plan))
"""
NAMES = ("start.png", "verdict.png", "plan.png")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def clipped(page: Page, cells: list[Locator], path: Path) -> None:
    """A picture from the top of the first cell to the end of the last; all must fit on the page at once."""
    cells[0].evaluate("cell => cell.scrollIntoView({block: 'start'})")
    boxes = [box for box in (cell.bounding_box() for cell in cells) if box is not None]
    left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    right, bottom = max(box["x"] + box["width"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    page.mouse.move(0, 0)
    page.screenshot(path=path, clip={"x": left, "y": top + 2, "width": right - left, "height": bottom - top - 5})


def of_the_notebook(page: Page, desk: Desk, folder: Path) -> None:
    """`start.png` and `verdict.png`: as JupyterLab shows them."""
    say("JupyterLab opens ...")
    desk.open()
    desk.menu("View", "Appearance", "Show Left Sidebar")
    say("the notebook runs ...")
    desk.run_all()
    clipped(page, [desk.cell("first ="), desk.cell("plan = explain(second, engine)")], folder / "start.png")
    say("a wrong answer is checked ...")
    suspect = EXERCISE.variant(desk.learner.seed).suspect
    answer = desk.cell("mended =")
    desk.type(answer, f'mended = "{suspect}"')
    desk.run(answer)
    checked = desk.cell('check("start-mend", mended)')
    desk.run(checked)
    expect(checked).to_contain_text("not yet")
    desk.cell("Stuck?", "Markdown").click()  # so that the cells of the picture are not the chosen one
    clipped(page, [desk.cell("mended ="), desk.cell('check("start-mend", mended)')], folder / "verdict.png")


def of_a_plan(page: Page, someone: Learner, folder: Path) -> None:
    """`plan.png`: what `workbook plan FILE --svg` draws."""
    say("a plan is saved and drawn ...")

    def python(*arguments: str) -> str:
        env = {**os.environ, **someone.environment}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=someone.home, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout

    saved, svg = someone.home / "from-work.json", someone.home / "from-work.svg"
    saved.write_text(python("-c", MISJUDGED), encoding="utf-8")
    python("-m", "workbook.cli", "plan", str(saved), "--svg", str(svg))
    page.set_content(f"<body style='margin:0'>{svg.read_text(encoding='utf-8')}</body>")
    page.locator("svg").first.screenshot(path=folder / "plan.png")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python docs/make.py",
        description="Make the README's pictures by running what they show.",
        epilog="Exit codes: 0 made, 2 could not be made, 3 made, but a picture is larger than it may be.",
    )
    parser.add_argument("--to", type=Path, default=HERE, metavar="FOLDER", help="write them there (default: docs)")
    chosen = parser.parse_args(arguments)
    chosen.to.mkdir(parents=True, exist_ok=True)
    try:
        with learner(seed=SEED) as someone, browser(width=WIDTH_PX, height=1100, scale=SCALE) as page:
            of_the_notebook(page, Desk(page, someone), chosen.to)
            of_a_plan(page, someone, chosen.to)
    except WorkbookError as error:
        say(str(error))
        return 2
    sizes = {name: (chosen.to / name).stat().st_size for name in NAMES}
    for name, size in sizes.items():
        say(f"{name}: {size // 1000} kB")
    return 3 if max(sizes.values()) > BYTES_MAX else 0


if __name__ == "__main__":
    raise SystemExit(main())
