"""Disjoint rows under SERIALIZABLE: which indexes bring the aborts to zero, and what is remembered where they do not."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, verdict
from workbook.exercises.isolation.disjoint import EXERCISE, VARIANTS, Variant, at_small_size, without

ALSO = {
    0: ["CREATE INDEX ON payments (payer) INCLUDE (cents)", "CREATE INDEX ON payments USING hash (payer)"],
    1: ["CREATE INDEX ON payments (till, minute DESC, cents)"],
    2: ["CREATE INDEX ON payments (lower(email), payer)"],
    3: ["CREATE INDEX ON payments (reference, payer)"],
    4: ["CREATE INDEX ON payments (payer, payee); CREATE INDEX ON payments (payee, payer)"],
    5: ["CREATE INDEX ON payments USING gin (tags) WITH (fastupdate = false)"],
}

WRONG = {
    0: [
        ("CREATE INDEX ON payments (till)", "could find what this statement looks for", "any-index"),
        ("CREATE INDEX ON payments (cents, payer)", "In which order of its columns", "any-order"),
    ],
    1: [
        ("CREATE INDEX ON payments (till)", "what becomes of a list of more than 32", "fetched-is-free"),
        ("CREATE INDEX ON payments (minute, till)", "In which order of its columns", "any-order"),
    ],
    2: [
        ("CREATE INDEX ON payments (email)", "could find what this statement looks for", "any-index"),
    ],
    3: [
        ("CREATE INDEX ON payments (payer) INCLUDE (cents)", "could find what this statement looks for", "any-index"),
    ],
    4: [
        ("CREATE INDEX ON payments (payer)", "could find what this statement looks for", "any-index"),
    ],
    5: [
        ("CREATE INDEX ON payments (tags)", "could find what this statement looks for", "any-index"),
        ("CREATE INDEX ON payments USING gin (tags)", "Which pages of an index of this kind", "kinds-alike"),
    ],
}  # fmt: skip


def answers(variant: Variant) -> Answers:
    place = VARIANTS.index(variant)
    right = variant.right
    return Answers(
        right=right,
        also_right=[f"{right}; ANALYZE payments", *ALSO[place]],
        wrong=[
            *(Wrong(sql, says=says, misconception=key) for sql, says, key in WRONG[place]),
            Wrong("ANALYZE payments", says="if it were led to its rows", misconception="shared-rows"),
            Wrong(f"{right}; CREATE INDEX ON payments (minute)", says=f"creates {variant.indexes + 1} indexes", misconception="more-is-safer"),
            Wrong(f"{right}; DELETE FROM payments WHERE payment_id > 100", says="payments had 20,000 rows"),
            Wrong(f"{right}; ALTER TABLE payments SET (fillfactor = 50)", says="changed 1 table (payments)"),
            Wrong("ALTER ROLE CURRENT_USER SET enable_seqscan = off", says="1 setting"),
            Wrong(f"SET enable_seqscan = off; {right}", says="for neither of the two transactions", misconception="settings-stay"),
            Wrong("CREATE INDEX ON payments (amount)", says='column "amount" does not exist'),
        ],
    )  # fmt: skip


class TestDisjoint(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.parametrize("variant", VARIANTS, ids=[f"variant{n}" for n in range(len(VARIANTS))])
def test_as_things_are_most_orders_abort(variant: Variant) -> None:
    assert without(variant) == (18, 20)


@pytest.mark.parametrize("variant", VARIANTS, ids=[f"variant{n}" for n in range(len(VARIANTS))])
def test_at_100_rows_the_planner_reads_the_table_and_no_index_helps(variant: Variant) -> None:
    assert "in 18 of 20 orders" in at_small_size(variant.right, variant)


@pytest.mark.slow
def test_no_answer_is_right_for_another_variant() -> None:
    for variant in VARIANTS:
        for other in VARIANTS:
            assert verdict(EXERCISE, variant.right, other).full is (variant is other), (variant.story, other.story)


def test_an_index_of_the_wrong_kind_is_used_and_does_not_help() -> None:
    found = str(verdict(EXERCISE, "CREATE INDEX ON payments USING brin (payer)", VARIANTS[0]))
    assert "all of payments" in found


def test_an_index_for_the_values_of_one_order_helps_in_none_of_the_others() -> None:
    found = verdict(EXERCISE, "CREATE INDEX ON payments (payer) WHERE payer < 900", VARIANTS[0])
    assert not found.full and "reads the table from end to end" in str(found)


@pytest.mark.parametrize("place", [0, 1, 2, 4, 5])
def test_neighbours_on_one_page_of_the_index_stand_against_each_other(place: int) -> None:
    """The aborts that the right index leaves are told in a note, and it takes no marks."""
    found = verdict(EXERCISE, VARIANTS[place].right, VARIANTS[place])
    note = next(finding.seen for finding in found.findings if "neighbours (a number one higher)" in finding.seen)
    assert found.full and 5 <= int(note.split(" aborted in ")[1].split(" of ")[0]) < 18


def test_what_why_says_is_remembered_of_two_other_indexes() -> None:
    said = {
        "(payer) INCLUDE (cents)": "10 pages of payments, 1 page of payments_payer_cents_idx",
        "(checked, payer)": "3 pages of payments_checked_payer_idx, 10 rows of payments",
    }
    for columns, remembered in said.items():
        found = verdict(EXERCISE, f"CREATE INDEX ON payments {columns}", VARIANTS[0])
        assert found.full and remembered in str(found)


def test_a_vacuum_is_allowed_and_a_setting_by_a_function_is_not() -> None:
    assert verdict(EXERCISE, f"{VARIANTS[0].right}; VACUUM ANALYZE payments", VARIANTS[0]).full
    found = verdict(EXERCISE, f"SELECT set_config('enable_seqscan', 'off', false); {VARIANTS[0].right}", VARIANTS[0])
    assert not found.full and "What is set in one session holds for all." in str(found)
