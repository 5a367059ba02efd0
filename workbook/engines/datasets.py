"""The recipes of the data that lessons and exercises share: the shop, by seed and size, and TPC-H.

What makes the rows stands as SQL in `datasets/`, for everybody to read; here the sizes are filled in. Rows are made
by integer arithmetic alone (no random(), no now(), no hash()), so that every version of DuckDB makes the same.

    >>> shop(orders=1000).name, sorted(shop().rows)[0]
    ('the shop with 1,000 orders', 'customers')

Source of TPC-H: the specification, revision 3.0.1; its rows are made by tpchgen-cli. Graded data is never raw TPC-H,
which has no seed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from filelock import FileLock

from workbook.engines import disk, places
from workbook.engines.recipe import Recipe
from workbook.errors import Misuse, Unavailable

FOLDER = Path(__file__).resolve().parent.parent.parent / "datasets"
SHOP = ("customers", "products", "stock", "orders", "order_lines")
TPCH = ("region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem")
ORDERS_MAX = 5_000_000


@cache
def _text(name: str) -> str:
    path = FOLDER / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        raise Unavailable(f"{path} is missing.", next="run the workbook from a whole clone of its repository") from None


def shop(seed: int = 1, orders: int = 50_000) -> Recipe:
    """The shop: a tenth as many customers as orders, a fiftieth as many products, two lines an order.

    Raises `Misuse` for a size that makes no sense.
    """
    if not 100 <= orders <= ORDERS_MAX:
        raise Misuse(f"A shop has between 100 and {ORDERS_MAX:,} orders, not {orders:,}.")
    sizes = {
        "seed": str(int(seed)),
        "orders": str(orders),
        "customers": str(orders // 10),
        "products": str(max(orders // 50, 50)),
    }
    rows = {}
    for table in SHOP:
        text = re.sub(r"--[^\n]*\n", "", _text(f"shop/{table}.sql"))
        for name, value in sizes.items():
            text = text.replace(f"{{{name}}}", value)
        rows[table] = text.strip()
    functions = re.sub(r"--[^\n]*\n", "", _text("shop/functions.sql")).strip()
    seeded = "" if seed == 1 else f", seed {seed}"
    return Recipe(f"the shop with {orders:,} orders{seeded}", _text("shop/tables.sql"), rows, functions=functions)


def tpch(scale: float = 0.1) -> Recipe:
    """TPC-H at a scale factor (0.1 is 600,000 lines)."""
    if not 0 < scale <= 1:
        raise Misuse(f"TPC-H is made for scale factors up to 1 here, not {scale:g}.")
    rows = {table: f"SELECT * FROM read_parquet('{{parquet}}/{scale:g}/{table}.parquet')" for table in TPCH}
    return Recipe(f"TPC-H at scale factor {scale:g}", _text("tpch/tables.sql"), rows)


def tpch_folder() -> Path:
    """The folder of TPC-H's Parquet files, by scale factor."""
    return places.state_folder() / "tpch"


def make_tpch(scale: float) -> Path:
    """Make the Parquet files of a scale factor where they are missing; their folder."""
    folder = tpch_folder() / f"{scale:g}"
    with FileLock(str(places.state_folder() / "tpch.lock"), timeout=600):
        if (folder / "complete").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        program = shutil.which("tpchgen-cli", path=sysconfig.get_path("scripts")) or shutil.which("tpchgen-cli")
        if program is None:
            raise Unavailable(
                "tpchgen-cli is not installed.", next=f"run `{sys.executable} -m pip install tpchgen-cli`"
            )
        done = subprocess.run(
            [program, "parquet", "-s", f"{scale:g}", f"--output-dir={folder}"], capture_output=True, text=True
        )
        if done.returncode:
            said = done.stderr.strip()[-300:]
            trouble = disk.trouble("TPC-H cannot be made.", folder, said=said, next="run `workbook doctor`")
            shutil.rmtree(folder, ignore_errors=True)
            raise trouble
        (folder / "complete").touch()
    return folder
