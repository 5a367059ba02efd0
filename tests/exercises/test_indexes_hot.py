"""The exercise `indexes-hot`: right answers, other right ones, wrong ones."""

from __future__ import annotations

from tests.exercises.harness import Answers, ExerciseTests, Wrong
from workbook.exercises.indexes.hot import EXERCISE, Variant


def answers(variant: Variant) -> Answers:
    return Answers(
        right=f"CREATE INDEX ON parcels ({variant.best})",
        also_right=[f"CREATE INDEX CONCURRENTLY listed ON parcels ({variant.best}, parcel_id); ANALYZE parcels"],
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
            Wrong("SELECT 1", says="No index was made", misconception="leave-it"),
            Wrong(
                "CREATE INDEX noted ON parcels (note)", says="does not use noted", misconception="reads-do-not-count"
            ),
            Wrong(
                f"CREATE INDEX ON parcels ({variant.best}); CREATE INDEX ON parcels (note)", says="2 indexes were made"
            ),
            Wrong("ALTER TABLE parcels SET (fillfactor = 50)", says="changed 1 table"),
            Wrong("CREATE INDX", says="syntax error"),
        ],
    )


class TestHot(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)
