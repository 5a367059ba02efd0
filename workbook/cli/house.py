"""Where things stand in a checkout.

    book/*.py ── workbook build ──▶ notebooks/  labs/  solutions/
                                        │         │
                                        └── workbook lab ──▶ my-work/notebooks/  my-work/labs/   (git ignores it)
                                                             my-work/.base/      what the copies were made from

    >>> House(Path("/somewhere")).my_work.name
    'my-work'

Left out: an installation without a checkout. The notebooks are the product, and they stand beside the package.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FIRST = "notebooks/00_start.ipynb"


@dataclass(frozen=True)
class House:
    """The folders of one checkout; `root` is the folder that holds `start.py`."""

    root: Path

    @property
    def book(self) -> Path:
        return self.root / "book"

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def labs(self) -> Path:
        return self.root / "labs"

    @property
    def solutions(self) -> Path:
        return self.root / "solutions"

    @property
    def my_work(self) -> Path:
        """The learner's folder: `WORKBOOK_MY_WORK`, else `my-work` in the checkout."""
        named = os.environ.get("WORKBOOK_MY_WORK")
        return Path(named).expanduser().absolute() if named else self.root / "my-work"

    @property
    def base(self) -> Path:
        return self.my_work / ".base"

    @cached_property
    def version(self) -> str:
        """The workbook's version, as `pyproject.toml` says."""
        import tomllib

        with (self.root / "pyproject.toml").open("rb") as file:
            return str(tomllib.load(file)["project"]["version"])

    def shown(self, path: Path) -> str:
        """A path as a person in the checkout would write it."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)


def house() -> House:
    """The checkout that this package stands in."""
    return House(Path(__file__).resolve().parents[2])
