"""An incident: half of the shop stands still. Which session is to be ended, and how is it found the next time?

    pg_stat_activity   who is there, in which state          the loudest waits, and shows its statement
    pg_locks           who holds what, who wants what        the root may be silent: idle, in a transaction or not
    pg_blocking_pids   who waits for whom                    holds up somebody, and waits for nobody

The learner is shown the first two, and works out the third: with it the root would be read off. The evidence is of a real standstill,
which the judge makes again to end the named session in it: who goes on is seen, not worked out. The query is run in standstills that were
not shown, under other names, and what it names is ended. In the variants the root is somebody else: a read whose transaction was
forgotten, a client that does not fetch, a row, a change of a table that was not committed, a lock of no transaction at all.

    >>> sorted({variant.colleague for variant in VARIANTS} & {SCENES[variant.scene].root for variant in VARIANTS})
    ['console', 'deploy', 'import']
    >>> all(variant.colleague != SCENES[variant.scene].root for variant in VARIANTS)
    True

Source: PostgreSQL 18's manual, "Session Information Functions" (`pg_blocking_pids`), "pg_stat_activity". Left out: two standstills at once, of which the
one that holds up more is to be ended first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from workbook.engines import Database, Recipe, database
from workbook.engines.running import run_sql
from workbook.exercises.isolation.standstill import (
    ELSEWHERE,
    OLD_WAITER,
    RECIPE,
    SCENES,
    Sight,
    Standstill,
    standing,
)
from workbook.grading.exercise import Exercise, Finding, Judgement, accepts_sql
from workbook.grading.registry import register
from workbook.schedules.postgres import let_deadlock_timeout_be_set

KEYS = ("end", "rules_out", "sql")
UNSEEN = (OLD_WAITER, SCENES["an idle lock"], SCENES["a slow client"])
OTHER_NAMES = {
    **{"console": "psql-7", "report": "export", "deploy": "migrate", "import": "loader"},
    **{f"web-{number}": f"app-{number}" for number in range(1, 5)},
}
SQL_S, ROWS_MAX = 1.5, 1_000
VIEWS = ("pg_stat_activity", "pg_locks", "orders", "products")


@dataclass(frozen=True)
class Variant:
    """A scene, the session that a colleague would end, why, and at which place of the list of observations the one stands that rules it
    out."""

    story: str
    scene: str
    colleague: str
    says: str
    place: int
    because: str


VARIANTS = (
    Variant(
        "Nine o'clock: orders cannot be opened, and the migration of the night is still not through",
        "a forgotten read", "deploy", "all of them wait for the ALTER TABLE", 4,
        "Somebody counted the orders in a console, and left the transaction open. Its lock is the weakest there is, and goes together with all but one: ACCESS EXCLUSIVE. So the ALTER TABLE waits, and whoever comes after it waits behind it.",
    ),
    Variant(
        "The monthly export has been running since the morning, and now nobody can order",
        "a slow client", "console", "it is idle in a transaction, and has been longest", 2,
        "Idle transactions are the usual suspects, but nobody waits for these. The export is active, waits for a client that does not fetch its rows, and holds ACCESS SHARE on the orders until it has.",
    ),
    Variant(
        "One product cannot be sold any more, then none",
        "a row", "web-1", "the others queue up behind it", 4,
        "The import has changed a row and not committed. The first who wants the row waits for the end of its transaction, the next ones for the first one; the CREATE INDEX waits for all of them, and stops the rest.",
    ),
    Variant(
        "A migration by hand: 'it is through', says the colleague who runs it, 'I only have to check something before I commit'",
        "a change not committed", "import", "it holds the rows that the web waits for", 1,
        "The ALTER TABLE took no time, and its ACCESS EXCLUSIVE lasts until COMMIT. The import, with rows of the products in its hands, waits for it, and so the lock of one table stops two.",
    ),
    Variant(
        "Products hang, orders do not. No table was changed",
        "an idle lock", "console", "it is the only one that is idle in a transaction", 3,
        "An advisory lock of a session belongs to no transaction: it lasts until it is given back, or the session ends. The report took it, and went back to the pool with it; its state is a plain 'idle'.",
    ),
    Variant(
        "Since the last release orders hang every few minutes",
        "a hung request", "deploy", "it wants the strongest lock", 5,
        "A request of the web has changed an order and hangs in the program, between UPDATE and COMMIT. PostgreSQL sees a session that is idle in a transaction, like the two others for which nobody waits.",
    ),
)  # fmt: skip


def recipe(variant: Variant) -> Recipe:
    """The tables of the shop, without a standstill."""
    return RECIPE


@cache
def evidence(scene: str) -> Sight:
    """What the lock tables say of a scene."""
    with database(RECIPE) as made:
        let_deadlock_timeout_be_set(made.cluster)
        with standing(made, SCENES[scene]) as stood:
            return stood.sight()


@cache
def after(scene: str, name: str) -> tuple[str, ...]:
    """Who waits when a session of a scene was ended."""
    with database(RECIPE) as made:
        let_deadlock_timeout_be_set(made.cluster)
        with standing(made, SCENES[scene]) as stood:
            return tuple(stood.end(name))


def observations(variant: Variant) -> list[str]:
    """What can be said of the evidence, all of it true; the one at `variant.place` rules the colleague's session out."""
    seen, root, other = evidence(variant.scene), SCENES[variant.scene].root, variant.colleague
    state = next(state for name, state, *_ in seen.activity if name == other)
    busiest = max((name for name, *_ in seen.activity), key=lambda name: (len(seen.behind(name)), name != root))
    oldest = next(name for name, _, _, place, _ in seen.activity if place == "1.")
    held = len(locks_of(seen, other, granted=True))
    every = [
        f"`{other}` is {state}.",
        f"{len(seen.behind(busiest))} sessions wait directly for `{busiest}` (so says `pg_blocking_pids`); for no other do more.",
        f"The oldest of the open transactions is that of `{oldest}`.",
        f"`{other}` holds {held or 'none'} of these locks.",
    ]
    every.insert(variant.place - 1, ruling_out(seen, other))
    return every


def locks_of(seen: Sight, name: str, *, granted: bool) -> list[str]:
    """The locks that a session holds, or waits for, as the task lists them: the one on its own transaction says nothing."""
    mine = [(what, mode) for each, what, mode, given in seen.locks if each == name and given is granted]
    return [f"{mode}: {what.removeprefix('table ')}" for what, mode in mine if what != "its own transaction"]


def ruling_out(seen: Sight, name: str) -> str:
    """The observation after which a session cannot be the root."""
    if name in seen.blocked:
        return f"`{name}` waits itself."
    return f"Nobody waits for `{name}`."


def accepts(answer: Any) -> str:
    wanted = f"The answer is a dict with the keys {', '.join(map(repr, KEYS))}"
    if not isinstance(answer, dict):
        return f"{wanted}; this is {type(answer).__name__}."
    if set(answer) != set(KEYS):
        missing, more = [key for key in KEYS if key not in answer], [key for key in answer if key not in KEYS]
        said = [f"{', '.join(map(repr, missing))} is missing"] if missing else []
        said += [f"{', '.join(_plain(str(key)) for key in more)} is none of them"] if more else []
        return f"{wanted}; {' and '.join(said)}."
    if type(answer["end"]) is not str:
        return f"'end' is the name of a session, a text; this is {type(answer['end']).__name__}."
    if number(answer["rules_out"]) is None:
        return f"'rules_out' is the number of an observation, an int; this is {type(answer['rules_out']).__name__}."
    return accepts_sql(answer["sql"])


def number(value: object) -> int | None:
    """The number of an observation, also where it is written as a text; None where it is none."""
    if type(value) is str and value.strip().isdecimal():
        return int(value)
    return value if type(value) is int else None


def judge(answer: dict[str, Any], variant: Variant) -> Judgement:
    """The observation is looked at last, once the session and the query are right: so it is not found by trying all of them."""
    findings = [ended(answer["end"], variant), found(answer["sql"])]
    right = sum(finding.ok for finding in findings)
    if right == len(findings):
        findings.append(ruled_out(number(answer["rules_out"]) or 0, variant))
        right += findings[-1].ok
    return Judgement(right / len(KEYS), tuple(findings))


def ended(name: str, variant: Variant) -> Finding:
    """What becomes of the standstill when the named session is ended."""
    seen = evidence(variant.scene)
    if name not in [known for known, *_ in seen.activity]:
        return Finding(
            False, f"There is no session {_plain(name)}.", "One of the names in the evidence.", "Which session do you mean?"
        )  # fmt: skip
    still = after(variant.scene, name)
    if not still:
        return Finding(True, f"`{name}` was ended, and the {len(seen.blocked)} that waited went on.")
    back = f", and its client came back to wait for {_listed(seen.blocked[name])} again" if name in seen.blocked else ""
    state = next(state for known, state, *_ in seen.activity if known == name)
    belief = "idle-is-guilty" if state == "idle in transaction" and name not in seen.blocked else ""
    if name in seen.blocked and seen.behind(name):
        belief = "the-loud-one"
    return Finding(
        False, f"`{name}` was ended{back}: a moment later {len(still)} wait, {_listed(still)}.", "Nobody waits.",
        "Follow who waits for whom, from any of the web's sessions, to the end: who stands there, and in which state?"
        if name in seen.blocked
        else "Who waits for this session?",
        belief,
    )  # fmt: skip


def ruled_out(number: int, variant: Variant) -> Finding:
    """Whether the observation rules out what the colleague would end."""
    every = observations(variant)
    if not 1 <= number <= len(every):
        return Finding(
            False, f"There is no observation {number}.", f"A number from 1 to {len(every)}.", "Which one do you mean?"
        )
    if number == variant.place:
        return Finding(True, f"Observation {number} rules out `{variant.colleague}`: {every[number - 1]}")
    return Finding(
        False, f"Observation {number} is true, and `{variant.colleague}` could be the root all the same: {every[number - 1]}",
        f"The one that cannot be true of a root, and is true of `{variant.colleague}`.",
        "What are the two things that hold of each root: about those who wait for it, and about whom it waits for?", "any-fact",
    )  # fmt: skip


def found(sql: str) -> Finding:
    """Whether the query finds the root of standstills that were not shown."""
    with database(RECIPE) as made, database(RECIPE) as other:
        let_deadlock_timeout_be_set(made.cluster)
        with standing(other, ELSEWHERE) as elsewhere:
            for position, scene in enumerate(UNSEEN, 1):
                with standing(made, scene, OTHER_NAMES) as stood:
                    where = f"In the standstill {position} of {len(UNSEEN)} that you have not seen"
                    wrong = named(made, stood, sql, where, elsewhere)
                if wrong is not None:
                    return wrong
    return Finding(
        True, f"In {len(UNSEEN)} standstills that were not shown the query named one session; it was ended, and all went on."
    )  # fmt: skip


def named(made: Database, stood: Standstill, sql: str, where: str, elsewhere: Standstill) -> Finding | None:
    """What is wrong with the session that the query names in a standstill; None where it was ended and all went on."""
    seen = stood.sight()
    rows, own = asked(made, sql)
    if set(stood.alive()) != set(stood.clients) or stood.waiting() != stood.waited:
        return Finding(
            False, f"{where} sessions were ended, or go on, by the query itself.", "A query that names a session, and lets all be as they are.",
            "Who decides what is ended?",
        )  # fmt: skip
    values = [row[0] if row else None for row in rows]
    named_ones = {stood.name_of(value) for value in values}
    names = [name for name in stood.clients if name in named_ones]
    if not names and any(elsewhere.name_of(value) for value in values):
        return Finding(
            False, f"{where} the query names a session of another database of the server, and none of this one.",
            "One session, of the database that the query runs in.", "Which databases does `pg_stat_activity` show?",
        )  # fmt: skip
    if len(names) != 1:
        return not_one(names, values, own, where)
    if any(value is not None and not stood.name_of(value) for value in values):
        return Finding(
            False, f"{where} the query names `{names[0]}`, and sessions that are not of this standstill: another database of the server has one, too.",
            "One session, of the database that the query runs in.", "Which databases does `pg_stat_activity` show?",
        )  # fmt: skip
    still = stood.end(names[0])
    if not still:
        return None
    told = f"{where} the query names `{names[0]}`. "
    if names[0] in seen.blocked:
        told += f"That one waits itself, for {_listed(seen.blocked[names[0]])}."
        question, belief = (
            "What does the query say of a session that holds up others, and is held up itself?",
            "the-loud-one",
        )
    else:
        told += "Nobody waits for that one."
        question, belief = "Which part of the query looks at who waits for the session?", "idle-is-guilty"
    return Finding(False, f"{told} It was ended, and {len(still)} wait.", "Nobody waits.", question, belief)


def asked(made: Database, sql: str) -> tuple[list[tuple[Any, ...]], int]:
    """The rows of the query, as the learner's role, and the number of the backend that ran it."""

    def stop(pid: int, hard: bool) -> None:
        with made.cluster.connect() as connection:
            connection.execute(f"SELECT pg_catalog.pg_{'terminate' if hard else 'cancel'}_backend({pid})")

    connection = made.connect()
    own = connection.info.backend_pid
    return run_sql(connection, sql, None, SQL_S, ROWS_MAX, stop, lambda: VIEWS).rows, own


def not_one(names: list[str], values: list[Any], own: int, where: str) -> Finding:
    """What is said of a query that gives no session, or several; `own` is the backend that ran it."""
    expected = "One: it holds up others, and waits for nobody."
    if names:
        return Finding(
            False, f"{where} the query names {len(names)} sessions, {_listed(names)}.", expected,
            "Of which of these is it true that they wait for nobody, and that somebody waits for them?", "the-loud-one",
        )  # fmt: skip
    if values:
        told = f"{where} the query gives {'a row' if len(values) == 1 else 'rows'}, and names no session of that standstill"
        question, belief = "Does its first column give the session's `application_name`, or its `pid`?", ""
        if all(value is None for value in values):
            told += ": the first column is NULL"
            question = "Of which session is that column asked, and does that one wait for anybody?"
        elif own in values:
            told += ": it names the one that runs the query"
            question = "Who waits for the session that the query names?"
        elif OTHER_NAMES.keys() & {value for value in values if type(value) is str}:
            told += "; there is none of that name"
            question, belief = "How is the session called when it happens the next time?", "by-name"
        return Finding(False, f"{told}.", expected, question, belief)
    return Finding(
        False,
        f"{where} the query gives no row.",
        expected,
        "In which states can a session be that holds a lock?",
        "one-state",
    )


def brief(variant: Variant) -> str:
    seen = evidence(variant.scene)
    activity = "\n".join(
        f"| {name} | {state} | {waits.rpartition(': ')[2]} | {place} | `{_short(sql)}` |"
        for name, state, waits, place, sql in seen.activity
    )
    locks = "\n".join(
        f"| {name} | {', '.join(locks_of(seen, name, granted=True))} | {', '.join(locks_of(seen, name, granted=False))} |"
        for name, *_ in seen.activity
    )
    told = "\n".join(f"{number}. {text}" for number, text in enumerate(observations(variant), 1))
    return (
        f"{variant.story}. `pg_stat_activity` (the transactions are counted from the oldest):\n\n"
        f"| session | state | wait_event | transaction | last statement |\n|---|---|---|---|---|\n{activity}\n\n"
        f"`pg_locks`, without indexes:\n\n| session | holds | waits for |\n|---|---|---|\n{locks}\n\n"
        f"A colleague would end `{variant.colleague}`: “{variant.says}”. These are all true:\n\n{told}\n\n"
        f"Hand in a dict: `end`, the root: the one session after whose end all go on; `rules_out`, the number of the one observation which shows that `{variant.colleague}` is not the root; and `sql`, a query "
        "that finds the root the next time (`pg_blocking_pids`). Its rows name one session, by its `application_name` or its `pid`, of the database that the query runs in (`datname = current_database()`).\n\n"
        "The judge makes the standstill again and ends your session; who waited comes back and asks again. "
        f"The query is run in {len(UNSEEN)} others, under other names; another database has one as well. `rules_out` is looked at once the other two are right. To try it, let two or three connections of "
        '`engine = practice("isolation-blocker")` wait for one another.'
    )


def _short(sql: str) -> str:
    return sql if len(sql) <= 70 else f"{sql[:67]}..."


def _listed(names: Any) -> str:
    every = [f"`{name}`" for name in names]
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"


def _plain(name: str) -> str:
    return repr(name if len(name) <= 30 else name[:27] + "...")


EXERCISE = register(
    Exercise(
        id="isolation-blocker",
        lab="03_isolation",
        number=8,
        title="Incident: who holds up all the others",
        kind="D",
        declares="value",
        points=3,
        core=True,
        minutes=11,
        answer="a dict with the keys 'end' (a session's name), 'rules_out' (int) and 'sql' (a query as text)",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "What is true of the session at the end of each chain of waits, whatever it is doing?",
            lambda variant: (
                "Start at a session of the web and go from each to those it waits for, until somebody waits for nobody (in `pg_locks`: who holds, or has asked for earlier, what does not go together with the lock that is waited for?). The same in SQL: `pg_blocking_pids(pid)` is an array; "
                "of whom is it empty, and in whose is the session's `pid`? The state says nothing about it."
            ),
            lambda variant: (
                f"Whom does {evidence(variant.scene).behind(SCENES[variant.scene].root)[0]} wait for, and that one? The colleague's session is ruled out by whom it waits for, or by nobody's waiting for it. "
                "The query: FROM pg_stat_activity a, WHERE `cardinality(pg_blocking_pids(a.pid)) = 0` AND EXISTS another row of `pg_stat_activity` for which `a.pid = ANY (pg_blocking_pids(...))`."
            ),
        ),
        judge=judge,
        why=lambda variant: (
            f"{variant.because} The root holds up somebody and waits for nobody; the state, the age, the number of locks and the length of the queue are true of others as well. "
            "What would change it: `idle_in_transaction_session_timeout` ends the forgotten transactions by itself (a session that is plainly idle, with an advisory lock, only `idle_session_timeout`), and `lock_timeout` in the "
            "migration lets it give way instead of stopping all who come after it. In MySQL `sys.innodb_lock_waits` names the blocker, and a migration waits there for a 'metadata lock'."
        ),
        misconceptions={
            "idle-is-guilty": "Whoever is idle in a transaction, and longest, is to blame.",
            "the-loud-one": "A session for which many wait is the root, also where it waits itself.",
            "one-state": "Only one kind of session can hold up others.",
            "any-fact": "A true observation about a session is an argument for or against it.",
            "by-name": "The root has the same name the next time.",
        },
    )
)  # fmt: skip
