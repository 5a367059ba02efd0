"""What to do with an error: a rule by SQLSTATE, phase and key, carried out on payments that meet it.

    the server said no       40001 40P01          nothing was done; the same again may succeed      retry
                             23514 22003 23503    nothing was done; the same again never succeeds   give up
    nobody said anything     08006                before COMMIT was sent   nothing was done         retry
                                                  after                    both are possible        ask, if there is
                                                                                                    something to ask by

A loop that retries all it meets charges twice as soon as the answer to a COMMIT is lost; one that gives up on whatever came at COMMIT tells a
customer 'no' who has paid. What decides is whether it is known that nothing was done, then whether the same again can succeed, and the second is
a fact of the shop: how long locks are held, who cancels, what is unique. The variants differ in those facts.

    >>> len({right(variant)("08006", "statement", False) for variant in VARIANTS})
    2
    >>> {faults(case, Outcome("paid", 2, 2), "retry")[0].kind for case in cases(VARIANTS[0].shop) if case.due == "paid"}
    {'twice'}

Source: PostgreSQL 18's manual, "Serialization Failure Handling"; Helland, "Life beyond Distributed Transactions" (CIDR 2007), on keys. Left
out: how long to wait between two attempts, and how often to try; the loop here tries four times, at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbook.exercises.isolation.payments import (
    ATTEMPTS,
    DECISIONS,
    LOST,
    Case,
    Outcome,
    Said,
    Shop,
    Situation,
    cases,
    in_doubt,
    outcomes,
)
from workbook.exercises.isolation.payments import recipe as tables
from workbook.grading.answer import Function
from workbook.grading.exercise import Exercise, Finding, Judgement
from workbook.grading.registry import register

SIGNATURE = "after_failure(sqlstate, phase, key)"
SHOWN = 4
LATER: Situation = ("23505", "statement", True)


@dataclass(frozen=True)
class Variant:
    """Whose payments, and how they are made."""

    story: str
    shop: Shop


VARIANTS = (
    Variant("The shop's checkout", Shop()),
    Variant("The monthly fees of a gym", Shop(unique=False, noted=True, held_long=True)),
    Variant("The tickets of a swimming pool", Shop(whole=True, cancelled=True)),
    Variant("The parking machines of a town", Shop(whole=True, unique=False, held_long=True, cancelled=True)),
    Variant("The donations of a choir", Shop(noted=True, cancelled=True)),
    Variant("The canteen's till", Shop(whole=True, held_long=True)),
)


def recipe(variant: Variant) -> Any:
    """The tables of the shop, empty."""
    return tables(variant.shop)


def right(variant: Variant) -> Callable[[str, str, bool], Said]:
    """A rule that holds in this shop."""
    shop = variant.shop

    def after_failure(sqlstate: str, phase: str, key: bool) -> Said:
        if in_doubt(shop, sqlstate, phase):
            return "ask" if key or shop.noted else "report"
        if sqlstate == "23505" and key and shop.unique:
            return "ask"
        passing = {"40001": True, "40P01": True, "57P01": True, LOST: True}
        passing |= {"55P03": not shop.held_long, "57014": not shop.cancelled}
        return "retry" if passing.get(sqlstate, False) else "give up"

    return after_failure


def accepts(answer: Any) -> str:
    if isinstance(answer, Function):
        return ""
    return (
        f"The answer is a function, `def {SIGNATURE}`, handed in without calling it; this is {type(answer).__name__}."
    )


def judge(answer: Function, variant: Variant) -> Judgement:
    said: dict[Situation, Said] = {}
    for situation in dict.fromkeys([*(case.situation for case in cases(variant.shop)), LATER]):
        given = answer(*situation)
        decision = next((one for one in DECISIONS if type(given) is str and given.lower() == one), None)
        if decision is None:
            return Judgement(0.0, (no_decision(situation, given),))
        said[situation] = decision
    seen = outcomes(variant.shop, said)
    found: dict[str, list[Fault]] = {}
    for case, outcome in seen:
        for fault in faults(case, outcome, said[case.situation], variant.shop):
            found.setdefault(fault.kind, []).append(fault)
    if not found:
        return Judgement(1.0, (all_well(seen),))
    ordered = [found[kind] for kind in KINDS if kind in found]
    everything = all(any(fault.said == "retry" for fault in found.get(kind, [])) for kind in ("twice", "endless"))
    return Judgement(0.0, tuple(told(same, "retry-everything" if everything else "") for same in ordered[:SHOWN]))


def no_decision(situation: Situation, decision: object) -> Finding:
    text = repr(decision)
    question = (
        "Which of the four is meant?"
        if isinstance(decision, str)
        else "Does each way through the function end in a `return`?"
    )
    return Finding(
        False, f"`after_failure{situation}` gives {text if len(text) <= 60 else text[:57] + '...'}.",
        f"One of {', '.join(map(repr, DECISIONS))}.", question,
    )  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """What is wrong with an outcome: its `kind` among `KINDS`, what the rule had `said`, and the story of the payment."""

    kind: str
    said: Said
    story: str
    lost: str = ""
    """The phase in which the line broke, where nothing but silence was met: `in doubt`, or `before COMMIT`."""


KINDS: dict[str, tuple[str, str, str, str]] = {
    "twice": (
        "the customer was charged twice", "One charge.",
        "The first attempt got no answer. How do you know that it did nothing?", "silence-is-no",
    ),
    "silent": (
        "the customer was told that nothing was charged, and is charged", "Whoever is told 'no' is not charged.",
        "Which fact, other than the error, says whether the charge stands?", "error-is-no",
    ),
    "unwanted": (
        "the customer took the payment back, and was charged for it", "No charge.",
        "Who had the statement cancelled, and what do they want?", "retry-everything",
    ),
    "endless": (
        f"each of the {ATTEMPTS} attempts was refused alike", "One attempt: what does not pass while the loop runs is given up.",
        "What would have to change before the same statement succeeds, and does it change while the loop runs?", "retry-everything",
    ),
    "lost": (
        "the payment was given up, and the next attempt would have gone through", "A payment that is made, at the second attempt.",
        "What was in its way, and is it still there a moment later?", "errors-are-final",
    ),
    "mute": (
        "there was nothing to ask by", "A question only where a key, or the transaction's number, is known.",
        "By what would you find this one charge among the account's others?", "always-ask",
    ),
    "shrugged": (
        "a person has to look after it, although the program could have known", "A person only where nobody else can know.",
        "What does the server's error say about what was done?", "errors-are-unknown",
    ),
    "needless": (
        "the program asked about what was known already", "No question where the server has said that nothing was done, or where COMMIT was never sent.",
        "How much can be there of a transaction that the server has refused, or that never came to its COMMIT?", "errors-are-unknown",
    ),
}  # fmt: skip


def faults(case: Case, seen: Outcome, said: Said, shop: Shop | None = None) -> list[Fault]:
    """What is wrong with what became of a payment; empty where nothing is."""
    shop = shop or Shop()
    known = not in_doubt(shop, case.code, case.phase) or case.key or shop.noted
    wrong = {
        "twice": seen.charges > 1,
        "unwanted": case.due == "cancelled" and seen.charges > 0,
        "silent": seen.told == "no" and seen.charges == 1 and case.due == "paid",
        "endless": seen.endless and not seen.charges,
        "lost": seen.told == "no" and not seen.endless and not seen.charges and case.due == "paid",
        "mute": seen.mute,
        "shrugged": seen.told == "unknown" and not seen.mute and known,
        "needless": seen.needless > 0 and not seen.endless and case.due == "paid",
    }
    story = (
        f"a payment {'with' if case.key else 'without'} a key met {case.code} {'at COMMIT' if case.phase == 'COMMIT' else 'at a statement'}: "
        f"{case.words}. The rule said {said!r}{_then(seen)}; {_TOLD[seen.told]}, and {_stands(seen.charges)}"
    )
    silence = "" if case.code != LOST else "in doubt" if in_doubt(shop, case.code, case.phase) else "before COMMIT"
    return [Fault(kind, said, story, silence) for kind, yes in wrong.items() if yes]


_TOLD = {"paid": "it was called paid", "no": "it was called not paid", "unknown": "it was called unknown"}


def _then(seen: Outcome) -> str:
    return f", and there were {seen.attempts} attempts" if seen.attempts > 1 else ""


def _stands(charges: int) -> str:
    return {0: "no charge stands", 1: "one charge stands"}.get(charges, f"{charges} charges stand")


def told(same: list[Fault], belief: str = "") -> Finding:
    """One kind of fault, with the first payment that has it; `belief` where all of them together point to another one."""
    what, expected, question, usual = KINDS[same[0].kind]
    where = "In one payment" if len(same) == 1 else f"In {len(same)} payments"
    seen = f"{where} {what}{': ' if len(same) == 1 else '; the first: '}{same[0].story}."
    if usual == "retry-everything" and same[0].said == "ask":
        question, usual = (
            "What can the answer to the question be, after an error that the server itself has sent?",
            "errors-are-unknown",
        )
    if same[0].kind == "shrugged" and same[0].lost == "in doubt":
        question, usual = "By what could the program find this one charge itself?", "nobody-knows"
    elif same[0].kind == "shrugged" and same[0].lost:
        question = KINDS["needless"][2]
    return Finding(False, seen, expected, question, belief or usual)


def all_well(seen: list[tuple[Case, Outcome]]) -> Finding:
    paid = sum(outcome.charges == 1 and outcome.told == "paid" for _, outcome in seen)
    doubt = sum(outcome.told == "unknown" for _, outcome in seen)
    refused = len(seen) - paid - doubt
    called = f"{paid} were paid once and called paid, {refused} were not made and called so"
    called += f", {doubt} were called unknown, where nobody could know" if doubt else ""
    return Finding(True, f"{len(seen)} payments met something: {called}. None was charged twice, none was lost.")


def brief(variant: Variant) -> str:
    shop = variant.shop
    made = (
        "one statement in autocommit, `SELECT pay(...)`, which debits the account, credits the shop's and inserts the charge; nobody sends `BEGIN` or `COMMIT`"
        if shop.whole
        else "`BEGIN`, a SELECT of the fee, UPDATEs of the two accounts, an INSERT into `charges`, `COMMIT`"
    )
    facts = [
        f"A payment is {made}; serializable.",
        "Some requests carry a key, the same however often they are sent, in `charges.key`: "
        + ("UNIQUE." if shop.unique else "not UNIQUE."),
        f"A voucher counts once (UNIQUE{'; a request with a key has no voucher' if shop.unique else ''}), an account has at least 0 cents (CHECK), an order must exist (foreign key"
        + (", checked at the end of the statement)." if shop.whole else ", DEFERRABLE INITIALLY DEFERRED)."),
        "`55P03`, `lock_timeout`: "
        + (
            "the nightly settlement holds accounts, for hours, and payments that meet it are to come again tomorrow."
            if shop.held_long
            else "somebody else is just booking on the account, which takes them some milliseconds more."
        ),
        "`57014`"
        + (
            ": the customer presses 'cancel', which cancels the statement."
            if shop.cancelled
            else ", `statement_timeout`: the server is busy for a moment."
        ),
        f"`57P01`: the server is restarted beneath a statement{'' if shop.whole else ' or a COMMIT'}; it sends this code, and then ends the session. `08006`: the line broke, and no answer came.",
    ]
    by = "by its key"
    if shop.noted:
        by += ", or else by `pg_xact_status` of the transaction's number, which is noted at the start"
    phases = "always `'statement'` here" if shop.whole else "`'statement'` or `'COMMIT'`"
    return (
        f"{variant.story}: each time a payment meets an error, a loop asks your function `def {SIGNATURE}`: the SQLSTATE as text; what was sent last, {phases}; whether "
        "the request carries a key (True or False). It returns one of\n\n"
        f"- `'retry'`: the payment is made again from its beginning, on a new connection where the old one is gone; after {ATTEMPTS} attempts the customer is told 'no'\n"
        "- `'give up'`: the customer is told that nothing was charged\n"
        f"- `'ask'`: the loop looks whether the charge is there, {by}; if so, the customer is told 'paid', else the payment is made again\n"
        "- `'report'`: the customer is told that it is not known yet, and a person looks into it\n\n"
        + "\n".join(f"* {fact}" for fact in facts)
        + f"\n\nThe judge makes {len(cases(shop))} payments on a real server, through a line that it can cut. Each meets one of `40001`, `40P01`, `55P03`, `57014`, `57P01`, `23505`, `23514`, `23503`, `08006`, "
        "or a further code, which the server sends. Nobody may be charged twice, or be charged and told 'no'; what can succeed is to be made; what cannot is not tried again; and where it is known "
        "what was done, nobody asks or reports. The function is asked once for each kind of error."
    )


def second_hint(variant: Variant) -> str:
    return (
        "Sort the errors three times. Did the server answer? Then nothing was done, whatever the code. If it did not: had the statement that commits been sent? Only then both are possible. "
        f"And of those where nothing was done: is what stood in the way gone a moment later? For `55P03` and `57014` {variant.story[0].lower()}{variant.story[1:]} have an answer of their own."
    )


def third_hint(variant: Variant) -> str:
    shop = variant.shop
    doubt = "`08006`, whatever the phase (each statement commits)" if shop.whole else "`08006` at COMMIT"
    return (
        f"In doubt is {doubt} alone: 'ask' if there is something to ask by, else 'report'. Nothing was done after any other. `40001`, `40P01` and `57P01` are gone a moment later; `23503`, `23514` and the code without a name "
        f"lie in the payment, and come again. Left are `55P03`, `57014`, `23505`{'' if shop.whole else ' and `08006` before COMMIT'}. Ask of each what the task says of it: does it pass, does the customer want it, or may it "
        "be this very charge that stands in the way?"
    )


def why(variant: Variant) -> str:
    shop = variant.shop
    return (
        "An error that the server sends says that the transaction is rolled back"
        + (
            ". "
            if shop.whole
            else ", also at COMMIT: `40001`, `57P01` and a deferred foreign key are refusals like any other. "
        )
        + "Silence says nothing, "
        + (
            "and in autocommit each statement is a COMMIT, so that any lost answer leaves a doubt. "
            if shop.whole
            else "but before COMMIT was sent the server can only roll back; the doubt begins with COMMIT. "
        )
        + (
            "A unique key makes even a blind retry harmless, since the second one fails with `23505`, and asks then. "
            if shop.unique
            else "A key that is not unique finds the charge, and does not keep a second one out. "
        )
        + "Ask only once the old session has ended, or it may commit behind your question. What would change it: "
        + (
            "a key, or the transaction's number, for every request; nobody would have to look. "
            if not shop.noted
            else "an engine without `pg_xact_status`; then a request without a key needs a person. "
        )
        + "MySQL calls a deadlock 1213 (SQLSTATE 40001) and a lock that is not granted 1205, where by default only the statement is rolled back, not the transaction."
    )


EXERCISE = register(
    Exercise(
        id="isolation-retry",
        lab="03_isolation",
        number=7,
        title="Retry, ask, give up",
        kind="R",
        declares="value",
        points=4,
        core=True,
        minutes=11,
        answer=f"a function, def {SIGNATURE}, that returns 'retry', 'ask', 'give up' or 'report'",
        accepts=accepts,
        variants=VARIANTS,
        brief=brief,
        hints=(
            lambda variant: "After which of these errors is it certain that nothing was done, and after which is it not?",
            second_hint,
            third_hint,
        ),
        judge=judge,
        why=why,
        misconceptions={
            "retry-everything": "Retrying helps against every error, and does no harm.",
            "silence-is-no": "When no answer came, nothing was done.",
            "error-is-no": "An error means that nothing was saved.",
            "errors-are-final": "A transaction that the server refused has failed for good.",
            "errors-are-unknown": "After an error nobody knows what was done.",
            "nobody-knows": "Where no answer came, only a person can find out what was done.",
            "always-ask": "One can always look whether it was saved.",
        },
    )
)  # fmt: skip
