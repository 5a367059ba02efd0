"""JupyterLab as a learner has it, and a Chromium that uses it: for the test beside this file and for `docs/make.py`.

    learner() ──▶ a copy of the checkout, its own my-work/ and databases ──▶ `workbook lab` ──▶ its address
    desk_with(cells) ──▶ the same, opened at a notebook of these cells, which have run
    Desk(page) ── opens it ── run all, type, run a cell, save, change the theme ──▶ outputs, the saved notebook

Whatever happens, JupyterLab, its kernels and the databases are stopped, and the copy is removed. Each wait is for
something that can be seen: a prompt with a number, an idle kernel, a file that was saved.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import psutil
from playwright.sync_api import Locator, Page, sync_playwright

from tests import folders
from workbook.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("workbook", "notebooks", "labs", "book", "datasets", "pyproject.toml")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_S = CELL_S = 120
IDLE = "#jp-main-statusbar :text-matches('\\\\| Idle$')"

ENDED = """() => {
    const panel = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)')
    const prompts = [...panel.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
    const failed = panel.querySelector('[data-mime-type="application/vnd.jupyter.error"], [data-mime-type$="stderr"]')
    return failed || (prompts.length > 0 && prompts.every(prompt => /\\[\\d+\\]/.test(prompt.textContent)))
}"""


def chromium() -> str:
    """The path of a Chromium. Raises `Unavailable` where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise Unavailable(
            "There is no Chromium here, so JupyterLab cannot be looked at.",
            tried=", ".join(BROWSERS),
            next="install it, on Debian with `apt-get install chromium`",
        )
    return found


@dataclass(frozen=True)
class Learner:
    """A learner's copy of the checkout, where JupyterLab runs."""

    home: Path
    url: str
    environment: dict[str, str]
    server: psutil.Process

    @property
    def seed(self) -> int:
        """The seed that was drawn for this learner."""
        return int(json.loads((self.home / "my-work" / ".workbook.json").read_text())["seed"])

    def saved(self, name: str) -> dict[str, Any]:
        """A notebook as it stands on the disk."""
        read: dict[str, Any] = json.loads((self.home / "my-work" / "notebooks" / f"{name}.ipynb").read_text())
        return read


@contextmanager
def learner(seed: int | None = None) -> Iterator[Learner]:
    """JupyterLab, started in a fresh copy of the checkout by `workbook lab`; `seed` instead of one that is drawn."""
    with folders.open_folder() as folder:
        home = folder / "a clone with spaces"
        _copy(home)
        if seed is not None:
            (home / "my-work").mkdir()
            (home / "my-work" / ".workbook.json").write_text(json.dumps({"seed": seed}))
        environment = _environment(folder, home)
        command = [sys.executable, "-m", "workbook.cli"]
        try:
            with _server([*command, "lab", "--no-browser"], home, environment) as (server, url):
                yield Learner(home, url, environment, server)
        finally:
            subprocess.run([*command, "clean", "--yes"], cwd=home, env=environment, check=True, capture_output=True)
            left = _left(folder / "state")
            for watcher in left:
                if "workbook.engines.watch" in watcher.cmdline():
                    watcher.terminate()  # it would go by itself, within a minute
            _end(left, "databases")


def _left(state: Path) -> list[psutil.Process]:
    """The processes that were started with the databases of this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WORKBOOK_STATE") == str(state):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _copy(home: Path) -> None:
    home.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, home / name)


def _environment(folder: Path, home: Path) -> dict[str, str]:
    """This environment, with the copy's package, its own databases, and nothing of this person's Jupyter."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "WORKBOOK_", "NBGRADER"))}
    return {
        **kept,
        "PYTHONPATH": str(home),
        "WORKBOOK_STATE": str(folder / "state"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "JUPYTER_DATA_DIR": str(folder / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter-runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


@contextmanager
def _server(command: list[str], home: Path, environment: dict[str, str]) -> Iterator[tuple[psutil.Process, str]]:
    """JupyterLab while it runs, and the address that it would open a browser at."""
    process = subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.PIPE, text=True)
    said: queue.Queue[str] = queue.Queue()
    assert process.stderr is not None
    reader = threading.Thread(target=_read, args=(process.stderr, said), daemon=True)
    reader.start()
    server = psutil.Process(process.pid)
    try:
        yield server, _address(said)
    finally:
        kernels = [child for child in server.children() if "ipykernel_launcher" in child.cmdline()]
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _end(kernels, "kernels")
        reader.join(10)
        process.stderr.close()


def _end(processes: list[psutil.Process], what: str) -> None:
    """Wait until they have ended; those that do not are killed, and it is an error."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    for process in alive:
        process.kill()
    if alive:
        raise RuntimeError(f"These {what} did not end: {', '.join(str(process) for process in alive)}")


def _read(stream: Any, said: queue.Queue[str]) -> None:
    for line in stream:
        said.put(line)
    said.put("")


def _address(said: queue.Queue[str]) -> str:
    """The address with its token, from what JupyterLab says when it has started."""
    lines, until = [], time.monotonic() + START_S
    while (left := until - time.monotonic()) > 0:
        try:
            lines.append(said.get(timeout=left))
        except queue.Empty:
            break
        found = re.search(r"http://(?:127\.0\.0\.1|localhost):\d+/\S*token=\S+", lines[-1])
        if found:
            return found[0]
        if lines[-1] == "":
            break
    raise RuntimeError("JupyterLab did not start:\n" + "".join(lines[-30:]))


@contextmanager
def browser(width: int = 1280, height: int = 900, scale: float = 1) -> Iterator[Page]:
    """An empty page of a headless Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = opened.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
            page.set_default_timeout(30_000)
            yield page
        finally:
            opened.close()


class Desk:
    """JupyterLab on a page: what a learner's hands do there."""

    def __init__(self, page: Page, learner: Learner) -> None:
        self.page, self.learner = page, learner

    def open(self) -> None:
        """Go to the address that `workbook lab` gives, until the kernel waits.

        What is run before is not run, or asks for a kernel: JupyterLab 4.6 has no kernel yet, and starts another.
        """
        self.page.goto(self.learner.url)
        self.page.wait_for_selector(IDLE, timeout=START_S * 1000)

    @property
    def notebook(self) -> Locator:
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def at(self, number: int) -> Locator:
        """The cell of this number, from 0, in view."""
        found = self.notebook.locator(f".jp-Cell[data-windowed-list-index='{number}']")
        found.scroll_into_view_if_needed()
        return found

    def cell(self, holding: str, kind: str = "Code") -> Locator:
        """The one cell whose own text holds this, in view."""
        source = self.page.locator(".jp-InputArea-editor, .jp-MarkdownOutput", has_text=holding)
        found = self.notebook.locator(f".jp-{kind}Cell").filter(has=source).first
        found.scroll_into_view_if_needed()
        return found

    def menu(self, *names: str) -> None:
        """Choose from the menus: `menu("Run", "Run All Cells")`."""
        self.page.locator(".lm-MenuBar-item", has_text=names[0]).first.click()
        for name in names[1:]:
            exact = re.compile(rf"^{re.escape(name)}$")
            self.page.locator(".lm-Menu-item").filter(
                has=self.page.locator(".lm-Menu-itemLabel", has_text=exact)
            ).last.click()

    def run_all(self, timeout_s: float = CELL_S) -> None:
        """Run all cells of a notebook that was just opened, until each in view has its number or one has failed; save it."""
        self.menu("Run", "Run All Cells")
        self.page.wait_for_function(ENDED, timeout=timeout_s * 1000)
        self.page.wait_for_selector(IDLE, timeout=CELL_S * 1000)
        self.save()

    def type(self, cell: Locator, text: str) -> None:
        """Replace what stands in a cell."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(text)

    def run(self, cell: Locator) -> None:
        """Run one cell, until its prompt has another number than before."""
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+Enter")
        self.page.wait_for_function(
            "([prompt, before]) => prompt.textContent.trim() !== before.trim() && /\\[\\d+\\]/.test(prompt.textContent)",
            arg=[prompt.element_handle(), before],
            timeout=CELL_S * 1000,
        )

    def save(self) -> None:
        """Save the notebook, until its tab says that nothing is unsaved."""
        self.menu("File", "Save Notebook")
        self.page.wait_for_selector(".lm-DockPanel-tabBar .lm-TabBar-tab.lm-mod-current:not(.jp-mod-dirty)")

    def theme(self, name: str) -> None:
        """Change to the `light` or the `dark` theme by the menu."""
        self.menu("Settings", "Theme", f"JupyterLab {name.title()}")
        self.page.wait_for_selector(f"body[data-jp-theme-light='{str(name == 'light').lower()}']", state="attached")


@contextmanager
def desk_with(cells: Sequence[str], name: str, height: int = 900) -> Iterator[Desk]:
    """A learner's JupyterLab at a notebook of this name that holds these cells, all of which have run."""
    with learner() as someone, browser(height=height) as page:
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell, id=f"cell-{number}") for number, cell in enumerate(cells)],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
        )
        nbformat.write(notebook, someone.home / "my-work" / "notebooks" / f"{name}.ipynb")
        desk = Desk(page, replace(someone, url=someone.url.replace("00_start", name)))
        desk.open()
        desk.run_all()
        yield desk
