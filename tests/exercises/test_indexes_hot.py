"""The exercise `indexes-hot`: right answers, other right ones, wrong ones."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.indexes.hot import COLUMNS, EXERCISE, TABLE, VARIANTS, Variant, recipe
from workbook.exercises.trial import columns_of, tried

EQUAL = {"courier": ("courier_id", 77), "zone": ("zone", 123)}


def answers(variant: Variant) -> Answers:
    best = f"CREATE INDEX listed ON parcels ({variant.best})"
    column, shown_value = EQUAL[variant.whose]
    foreign = [name for name in COLUMNS if name not in variant.columns]
    return Answers(
        right=best,
        also_right=[
            f"CREATE INDEX CONCURRENTLY listed ON parcels ({variant.best}, parcel_id); ANALYZE parcels",
            f"CREATE INDEX ON parcels ({variant.best}) INCLUDE (parcel_id)",
            f"CREATE INDEX ON parcels ({variant.best.replace(', ', ' DESC, ')} DESC)",
            f"CREATE INDEX ON parcels ({variant.best}) WITH (fillfactor = 70)",
            f"CREATE INDEX ON parcels ({variant.best}) WHERE {column} >= 0",
        ],
        wrong=[
            Wrong(
                f"CREATE INDEX listed ON parcels ({variant.tempting})",
                says="listed mentions",
                misconception="free-updates",
            ),
            Wrong(
                f"CREATE INDEX partial ON parcels ({variant.best}) WHERE {variant.changed} >= 0",
                says="partial mentions",
            ),
            Wrong(
                f"CREATE INDEX carried ON parcels ({variant.best}) INCLUDE ({variant.changed})",
                says="carried mentions",
                misconception="free-updates",
            ),
            Wrong("SELECT 1", says="No index was made", misconception="leave-it"),
            Wrong(
                "CREATE INDEX noted ON parcels (note)", says="does not use noted", misconception="reads-do-not-count"
            ),
            Wrong(
                f"CREATE INDEX blocks ON parcels USING brin ({variant.best})",
                says="does not use blocks",
                misconception="reads-do-not-count",
            ),
            Wrong(
                f"CREATE INDEX one ON parcels ({column}) WHERE {column} = {shown_value}",
                says="by one with some values",
                misconception="one-value",
            ),
            Wrong(
                f"CREATE INDEX ON parcels ({variant.best}, {', '.join(foreign)})",
                says=f"The index holds {' and '.join(f'`{name}`' for name in sorted(foreign))};",
                misconception="more-is-safer",
            ),
            Wrong(f"{best} WITH (fillfactor = 10)", says="What fills its pages"),
            Wrong(
                f"CREATE INDEX hashed ON parcels USING hash ({column})",
                says="The hash index hashed takes 2,096 kB",
                misconception="hash-is-small" if variant.best == column else "",
            ),
            Wrong(f"{best}; CREATE INDEX ON parcels (note)", says="2 indexes were made", misconception="more-is-safer"),
            Wrong(
                f"DELETE FROM parcels WHERE parcel_id % 10 = 0; CREATE INDEX c ON parcels ({variant.tempting})",
                says="had 40,000 rows, and now it has 36,000",
            ),
            Wrong(f"{best}; TRUNCATE parcels", says="had 40,000 rows, and now it has 0"),
            Wrong(f"{best}; CLUSTER parcels USING listed", says="parcels was written anew"),
            Wrong(f"{best}; UPDATE parcels SET note = note WHERE parcel_id < 9", says="has them in other places"),
            Wrong(f"CREATE UNIQUE INDEX pairs ON parcels ({variant.best}, weight_g, note)", says="pairs is UNIQUE"),
            Wrong("ALTER TABLE parcels SET (fillfactor = 50)", says="changed 1 table"),
            Wrong("CREATE INDX", says="syntax error"),
        ],
    )


class TestHot(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("also", ["zone", "stage, weight_g", "zone, stage, weight_g, note"])
def test_what_the_read_does_not_mention_stays_out(also: str) -> None:
    """A few bytes more or many: leaving out the one column that changes and taking all others is no answer."""
    found = verdict(EXERCISE, f"CREATE INDEX ON parcels (courier_id, {also})", VARIANTS[0])
    assert found.points == 0 and "the read does not mention" in shown(found)
    assert found.misconception == EXERCISE.misconceptions["more-is-safer"]


def test_the_columns_that_an_index_rests_on_wherever_they_stand() -> None:
    ddl = """CREATE INDEX "Odd name" ON parcels (courier_id, (zone + stage)) INCLUDE (note) WHERE weight_g > 5"""
    with tried(recipe(VARIANTS[0]), ddl, tables=TABLE) as trial:
        assert columns_of(trial.database, trial.names[0]) == {"courier_id", "zone", "stage", "note", "weight_g"}
