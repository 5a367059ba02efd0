"""A key for a stream: five stories, each of which makes another table right."""

from __future__ import annotations

import pytest

from tests.exercises.harness import Answers, ExerciseTests, Wrong, shown, verdict
from workbook.exercises.btrees.key import EXERCISE, IDENTITY, VARIANTS, VERSION_4, VERSION_7, Variant, ddl

CHANCE = "id bigint DEFAULT (random() * 9e18)::bigint"
TOKEN = f"{IDENTITY}, token bigint NOT NULL DEFAULT (random() * 9e18)::bigint"
BIGINT, V4, V7, TENANT = ddl(IDENTITY), ddl(VERSION_4), ddl(VERSION_7), ddl(IDENTITY, "tenant, id")
AS_TEXT = ddl("id text DEFAULT gen_random_uuid()::text")
SERIAL = ddl("id bigserial")

REFUSED = [
    Wrong(ddl("id bigint"), says="The stream does not get in", misconception="key-from-nowhere"),
    Wrong(BIGINT.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"), says="is unlogged", misconception="wal-is-waste"),
    Wrong(BIGINT.replace(", PRIMARY KEY (id)", ""), says="has no primary key"),
    Wrong(BIGINT.replace("orders", "purchases"), says="There is no table `orders`"),
    Wrong(BIGINT.replace("note text", "note varchar"), says="has not the columns"),
    Wrong(f"{BIGINT}; INSERT INTO orders (tenant, total_cents, note) VALUES (1, 1, 'mine')", says="puts rows into"),
    Wrong("", says="The answer is empty"),
]

BY_NAME = {
    "internal": Answers(
        BIGINT,
        [SERIAL],
        [
            Wrong(V7, says=", 32 a row", misconception="width-is-free"),
            Wrong(ddl("id int GENERATED ALWAYS AS IDENTITY"), says="does not fit into `id`", misconception="int-saves"),
            Wrong(TENANT, says=", 44 a row", misconception="order-is-free"),
            Wrong(AS_TEXT, says="how many has its text?", misconception="text-is-as-good"),
        ],
    ),
    "offline": Answers(
        V7,
        [ddl(TOKEN, "id, token")],
        [
            Wrong(BIGINT, says="300 of the keys are the same", misconception="uuids-are-bad"),
            Wrong(V4, says="no key twice. ✗ Seen: 500 inserts", misconception="order-is-free"),
            Wrong(AS_TEXT, says="how many has its text?", misconception="text-is-as-good"),
        ],
    ),
    "hidden": Answers(
        V4,
        [ddl(CHANCE)],
        [
            Wrong(BIGINT, says="298, 299, 300: the next one can be computed", misconception="uuids-are-bad"),
            Wrong(V7, says="After 300 keys nobody can compute the next one. ✗", misconception="ordered-is-best"),
            Wrong(AS_TEXT, says="how many has its text?", misconception="text-is-as-good"),
        ],
    ),
    "public": Answers(
        V7,
        [ddl(TOKEN, "id, token")],
        [
            Wrong(BIGINT, says="298, 299, 300: the next one can be computed", misconception="uuids-are-bad"),
            Wrong(V4, says="To how many leaves", misconception="order-is-free"),
        ],
    ),
    "writers": Answers(
        TENANT,
        [V4, ddl(CHANCE)],
        [
            Wrong(BIGINT, says="one leaf got", misconception="ordered-is-best"),
            Wrong(AS_TEXT, says="how many has its text?", misconception="text-is-as-good"),
        ],
    ),
}


def answers(variant: Variant) -> Answers:
    found = BY_NAME[variant.name]
    return Answers(found.right, found.also_right, [*found.wrong, *REFUSED])


class TestKey(ExerciseTests):
    exercise = EXERCISE
    answers = staticmethod(answers)


@pytest.mark.slow
def test_each_key_is_right_somewhere_and_wrong_elsewhere() -> None:
    """What the five stories make of four keys: none is best."""
    right = {
        name: [variant.name for variant in VARIANTS if verdict(EXERCISE, table, variant).full]
        for name, table in (("bigint", BIGINT), ("version 4", V4), ("version 7", V7), ("tenant first", TENANT))
    }
    assert right == {
        "bigint": ["internal"],
        "version 4": ["hidden", "writers"],
        "version 7": ["offline", "public"],
        "tenant first": ["writers"],
    }


@pytest.mark.parametrize(
    "default",
    [
        "md5(nextval('n')::text)::uuid",
        "lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1e6)::bigint), 32, '0')::uuid",
    ],
)
def test_a_counter_or_a_clock_in_disguise_is_no_secret(default: str) -> None:
    found = verdict(EXERCISE, f"CREATE SEQUENCE n; {ddl(f'id uuid DEFAULT {default}')}", VARIANTS[3])
    assert "the next one can be computed" in shown(found), found


def test_a_table_that_loses_rows_is_found_out() -> None:
    rule = "CREATE RULE less AS ON INSERT TO orders WHERE new.tenant = 7 DO INSTEAD NOTHING"
    assert "are in `orders`" in shown(verdict(EXERCISE, f"{BIGINT}; {rule}", VARIANTS[0]))


def test_what_stands_elsewhere_counts_as_well() -> None:
    """A second index beside the narrow key is paid for."""
    found = verdict(EXERCISE, f"{BIGINT}; CREATE INDEX ON orders (note)", VARIANTS[0])
    assert not found.full and "The indexes take" in shown(found)
