"""The engines: private PostgreSQL clusters, SQLite and DuckDB; databases, roles, counters.

    recipe ── database(recipe) ──▶ Database ── .engine ──▶ SQLAlchemy, which learners use at work
                                     ├─ .run(sql)      a learner's SQL, guarded
                                     ├─ .measure(work) what a transaction truly costs
                                     └─ .catalog()     what is there, and what changed

Left out: anything that draws, grades or explains.
"""

from workbook.engines.catalog import Catalog, Change
from workbook.engines.cluster import Cluster, clean, cluster, stop
from workbook.engines.costs import Cost, Tuples
from workbook.engines.database import Database, database, database_of, measure
from workbook.engines.datasets import shop, tpch
from workbook.engines.recipe import Recipe
from workbook.engines.running import Result
from workbook.engines.versions import versions

__all__ = [
    "Catalog",
    "Change",
    "Cluster",
    "Cost",
    "Database",
    "Recipe",
    "Result",
    "Tuples",
    "clean",
    "cluster",
    "database",
    "database_of",
    "measure",
    "shop",
    "stop",
    "tpch",
    "versions",
]
