"""A stage for each engine, kept for a file of tests: real servers, real connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from workbook.schedules import Stage


@pytest.fixture(scope="module")
def postgres() -> Iterator[Stage]:
    with closing(Stage("postgresql")) as stage:
        yield stage


@pytest.fixture(scope="module")
def duckdb() -> Iterator[Stage]:
    with closing(Stage("duckdb")) as stage:
        yield stage


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Stage]:
    with closing(Stage("mariadb")) as stage:
        yield stage
