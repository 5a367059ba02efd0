"""`workbook stop`, in a terminal, beside a notebook that goes on."""

from __future__ import annotations

import json

from tests.cli.living import kernel, workbook
from tests.cli.test_clean import BEGIN, state, works

__all__ = ["state"]


def test_it_stops_what_runs_and_says_so(state):
    assert workbook("stop", state=state).stdout == "Nothing was running.\n"
    assert list(state.glob("servers/*")) == []
    with kernel(state) as one:
        assert one.does("from workbook import shop; shop(orders=1_000)") == ""
        assert workbook("stop", state=state).stdout == "Stopped: counting.\n"
        assert workbook("stop", state=state).stdout == "Nothing was running.\n"
        assert one.does("shop(orders=1_000); shop(orders=1_000, profile='production')") == ""
        assert json.loads(workbook("stop", "--json", state=state).stdout) == {"stopped": ["counting", "production"]}
    assert json.loads(workbook("stop", "--json", state=state).stdout) == {"stopped": []}


def test_a_notebook_goes_on_with_its_engine(state):
    """Nothing is lost: the server starts again when it is asked."""
    with kernel(state) as one:
        assert one.does(BEGIN) == ""
        works(one)
        assert one.does("engine = shop(orders=1_000)") == ""
        assert one.does("database_of(engine).run('CREATE TABLE kept AS SELECT 7 AS n')") == ""
        assert workbook("stop", state=state).stdout == "Stopped: counting.\n"
        assert one.does("print(database_of(engine).run('SELECT n FROM kept').rows)") == "[(7,)]"
        works(one)
