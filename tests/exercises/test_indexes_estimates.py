"""Rows that fool the planner, and the one kind of statistics that each query needs."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.indexes.estimates import EXERCISE, VARIANTS, Variant

PLAIN = {
    "country": "'C1'", "city": "'T1'", "carrier": "'post'", "status": "'sent'", "ordered_day": "1", "shipped_day": "2", "total_cents": "i",
}  # fmt: skip


def rows(number: int = 20_000, **columns: str) -> str:
    values = ", ".join((PLAIN | columns).values())
    return f"INSERT INTO shipments SELECT i, {values} FROM generate_series(1, {number}) i"


def statistics(on: str, kind: str = "") -> str:
    return f"CREATE STATISTICS made {f'({kind}) ' if kind else ''}ON {on} FROM shipments; ANALYZE shipments"


CITY = {"country": "'C' || i % 100", "city": "'T' || i % 100"}
GROUPS = {"country": "'C' || i % 20", "city": "'T' || i % 20", "carrier": "'P' || i % 20"}
NEVER = {
    "carrier": "CASE i % 2 WHEN 0 THEN 'pigeon' ELSE 'post' END",
    "status": "CASE i % 2 WHEN 0 THEN 'sent' ELSE 'cancelled' END",
}
DAYS = {"ordered_day": "i % 365", "shipped_day": "i % 365 + 1"}

DATA = (
    rows(**CITY), rows(**GROUPS), rows(**NEVER), rows(total_cents="i * 100"), rows(), rows(**DAYS), rows(10_000, ordered_day="400"),
)  # fmt: skip
MENDS = (
    [statistics("country, city", "dependencies"), statistics("country, city", "mcv")],
    [statistics("country, city, carrier", "ndistinct")],
    [statistics("carrier, status", "mcv")],
    [statistics("(total_cents % 100)"), "CREATE INDEX ON shipments ((total_cents % 100)); ANALYZE shipments"],
    [statistics("(total_cents / 100000)"), "CREATE INDEX ON shipments ((total_cents / 100000)); ANALYZE"],
    [statistics("ordered_day, shipped_day", "mcv")],
    ["ANALYZE shipments", "ANALYZE shipments (ordered_day)"],
)
WRONG_KIND = (
    statistics("country, city", "ndistinct"),
    statistics("country, city, carrier", "dependencies"),
    statistics("carrier, status", "dependencies"),
    statistics("total_cents, ordered_day", "mcv"),
    statistics("total_cents, ordered_day", "ndistinct"),
    statistics("ordered_day, shipped_day", "dependencies"),
    "",
)
"""Of a kind that is there and does not help; nothing of the sort where ANALYZE alone is missing."""


def both(data: object, mend: object) -> dict[str, object]:
    return {"data": data, "mend": mend}


def answers(variant: Variant) -> Answers:
    number = VARIANTS.index(variant)
    data, mends = DATA[number], MENDS[number]
    wrong = [
        Wrong({"data": data}, says="this is a dict with ['data']"),
        Wrong(both(data, 5), says="'mend' is SQL as text, in quotes; this is int"),
        Wrong(both("  ", mends[0]), says="'data' is SQL as text, in quotes; this is empty"),
        Wrong(both("INSERT INTO shipment SELECT 1", mends[0]), says='relation "shipment" does not exist'),
        Wrong(both(rows(100), mends[0]), says="'data' brings 100 rows. Expected"),
        Wrong(both(f"{data}; ALTER TABLE shipments ALTER country SET STATISTICS 0", mends[0]), says="changed 1 column"),
        Wrong(
            both(rows(6_000, total_cents="i % 60 * 100001 + 7", ordered_day="i % 300"), mends[0]),
            says="should come",
            misconception="estimates-are-facts",
        ),
        Wrong(both(data, f"DELETE FROM shipments WHERE shipment_id > 50; {mends[0]}"), says="'mend' changed the rows"),
        Wrong(both(data, f"CREATE VIEW seen AS {variant.query}; {mends[0]}"), says="created 1 view"),
        Wrong(
            both(data, f"ALTER ROLE CURRENT_USER SET default_statistics_target = 1; {mends[0]}"),
            says="created 1 setting",
        ),
        Wrong(
            both(data, statistics("country, city, carrier")),
            says="with the kinds",
            misconception="more-is-better",
        ),
    ]
    return Answers(
        right=both(data, mends[0]),
        also_right=[both(f"{data};", mend) for mend in mends],
        wrong=[*wrong, *half_mended(variant)],
    )


def half_mended(variant: Variant) -> list[Wrong]:
    number = VARIANTS.index(variant)
    data = DATA[number]
    if variant.yesterday:
        made = "CREATE STATISTICS made (mcv) ON ordered_day, shipped_day FROM shipments"
        return [
            Wrong(both(data, made), says="nothing is in them", misconception="create-suffices"),
            Wrong(both(data, f"{made}; ANALYZE shipments"), says="after ANALYZE alone", misconception="more-is-better"),
            Wrong(
                both(data, "ANALYZE shipments (country)"),
                says="before the planner hears of rows that have come since",
                misconception="rows-are-known",
            ),
            Wrong(
                both(data, "CREATE INDEX by_day ON shipments (ordered_day)"),
                says="`by_day` says where rows lie",
                misconception="index-tells",
            ),
        ]
    unread = []
    if number in (3, 4):
        made = MENDS[number][1].split(";")[0].replace("INDEX ON", "INDEX parts ON")
        unread = [
            Wrong(both(data, made), says="The index `parts` holds an expression", misconception="create-suffices")
        ]
    return [
        *unread,
        Wrong(
            both(data, "CREATE INDEX plain ON shipments (country, ordered_day); ANALYZE shipments"),
            says="`plain` says where rows lie",
            misconception="index-tells",
        ),
        Wrong(
            both(data, "ANALYZE shipments"), says="What would ANALYZE have to look at", misconception="fresh-suffices"
        ),
        Wrong(both(data, MENDS[number][0].split(";")[0]), says="nothing is in them", misconception="create-suffices"),
        Wrong(both(data, WRONG_KIND[number]), says="are there. PostgreSQL expects", misconception="any-kind"),
    ]


class TestEstimates(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize(
    ("number", "on", "helps"),
    [
        (0, "country, city", {"dependencies", "mcv"}),
        (1, "country, city, carrier", {"ndistinct"}),
        (2, "carrier, status", {"mcv"}),
        (5, "ordered_day, shipped_day", {"mcv"}),
    ],
)
def test_each_query_asks_for_its_kind(number: int, on: str, helps: set[str]) -> None:
    kinds = ("ndistinct", "dependencies", "mcv")
    tried = {kind: verdict(EXERCISE, both(DATA[number], statistics(on, kind)), VARIANTS[number]) for kind in kinds}
    assert {kind for kind, found in tried.items() if found.full} == helps


@pytest.mark.slow
def test_statistics_on_everything_take_too_long() -> None:
    everything = statistics("country, city, carrier, status, ordered_day, shipped_day, total_cents, shipment_id")
    found = verdict(EXERCISE, both(DATA[5], everything), VARIANTS[5])
    assert found.points == 0 and "was cancelled" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["more-is-better"]


def test_forged_statistics_do_not_last() -> None:
    """PostgreSQL 18 lets an owner write the statistics by hand; the next ANALYZE takes them away."""
    forged = (
        "SELECT pg_restore_attribute_stats('schemaname', 'public', 'relname', 'shipments', 'attname', 'country', 'inherited', false, "
        "'null_frac', 0::real, 'avg_width', 3, 'n_distinct', 1::real, 'most_common_vals', '{C7}'::text, 'most_common_freqs', '{1}'::real[])"
    )
    found = verdict(EXERCISE, both(DATA[0], forged), VARIANTS[0])
    assert found.points == 0 and "is gone" in shown(found)
