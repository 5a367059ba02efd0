"""The grammar of `.spec` files: what is read, what is written again, and the sentence that each mistake gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbook.errors import Misuse
from workbook.schedules.spec import Marker, Spec, Turn
from workbook.schedules.spec_run import decoded

HERE = Path(__file__).parent
FILES = sorted([*(HERE / "specs").glob("*.spec"), *(HERE / "isolationtester").glob("*.spec")])
TWO = "session s1\nstep a { A }\nstep b { B }\nsession s2\nstep c { C }\n"


def steps(spec: Spec) -> list[str]:
    return [" ".join(map(str, order)) for order in spec.orders()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_spec_is_read_and_written_again(path: Path) -> None:
    spec = Spec.read(decoded(path.read_bytes()))
    assert Spec.read(str(spec)) == spec and str(Spec.read(str(spec))) == str(spec)
    assert spec.data()["sessions"][0]["steps"][0]["name"] in spec.steps
    if spec.count() < 1_000:
        assert spec.count() == len(list(spec.orders()))


def test_without_a_permutation_every_interleaving_is_meant() -> None:
    assert steps(Spec.read(TWO)) == ["a b c", "a c b", "c a b"]
    assert Spec.read(TWO).count() == 3


def test_a_permutation_may_leave_out_steps_and_repeat_them() -> None:
    spec = Spec.read(TWO + "permutation c a c\npermutation a\n")
    assert steps(spec) == ["c a c", "a"] and spec.unused() == ("b",)


def test_the_three_markers() -> None:
    spec = Spec.read(TWO + "permutation a(*) b ( c , *, c notices 12 ) c(a)")
    assert spec.permutations == (
        (
            Turn("a", (Marker("at once"),)),
            Turn("b", (Marker("step", "c"), Marker("at once"), Marker("notices", "c", 12))),
            Turn("c", (Marker("step", "a"),)),
        ),
    )
    assert str(spec).endswith("permutation a(*) b(c, *, c notices 12) c(a)\n")


def test_a_block_loses_the_blanks_at_its_ends_and_keeps_its_lines() -> None:
    spec = Spec.read("session s step a {  \n  SELECT 1; -- { \t\n\t }step b{}")
    assert [step.sql for step in spec.sessions[0].steps] == ["\n  SELECT 1; -- { \t\n", ""]


def test_names_are_told_apart_by_case_and_quotes_are_for_words_of_the_grammar() -> None:
    spec = Spec.read('session "step" step "setup" {1} step Setup {2} step "a ""b""" {3} session größe$1 step _ {4}')
    assert [session.name for session in spec.sessions] == ["step", "größe$1"]
    assert list(spec.steps) == ["setup", "Setup", 'a "b"', "_"]


def test_a_comment_ends_with_its_line() -> None:
    assert list(Spec.read("# session x {\nsession s # step b {}\nstep a {A # not a comment}").steps) == ["a"]


MISTAKES = [
    ("", 1, "the file ends here", "setup, teardown or session"),
    ("setup {}\n\nteardown {}\nsetup {}", 4, "'setup' cannot stand here", "session"),
    ("session\nstep a {}", 2, "'step' cannot stand here", "in quotes, 'step' would be a name"),
    ("session s1\npermutation a", 2, "'permutation' cannot stand here", "setup or step"),
    ("session s1 setup {} setup {}", 1, "'setup' cannot stand here", "step"),
    ("session s1\nstep a\nstep b {}", 3, "'step' cannot stand here", "a block { SQL }"),
    ("session s1\nstep a {\n\n", 2, "the block of SQL that begins here has no end", "close it with }"),
    ("session s1\nstep a {'}'}", 2, "' can stand only in a block of SQL", "at its first }"),
    ("session s1\nstep a {} }", 2, "} closes no block of SQL", "even at one in a string"),
    ('session "s1\nstep a {}', 1, "the quoted name that begins here ends with its line", "on the same line"),
    ('session s step "a', 1, "the quoted name that begins here has no end", "on the same line"),
    (TWO + "step d {}\nstep a {}", 7, "the step a is there already, on line 2", "a name of its own"),
    (TWO + "session", 6, "the file ends here", "the name of the session"),
    (TWO + "setup {}", 6, "'setup' cannot stand here", "step, teardown, session or permutation"),
    (TWO + "teardown {}\nstep x {}", 7, "'step' cannot stand here", "session or permutation"),
    (TWO + "permutation a\nstep x {}", 7, "'step' cannot stand here", "permutation"),
    (TWO + "permutation", 6, "the file ends here", "the name of a step"),
    (TWO + "permutation a\n  c d", 6, "there is no step d", "a, b, c"),
    (TWO + "permutation a(b c) c", 6, "'c' cannot stand here", ", or )"),
    (TWO + "permutation a(c notices) c", 6, "')' cannot stand here", "how many notices"),
    (TWO + "permutation a(c)", 6, "a waits for c, which this permutation does not run", "name one of a"),
    (TWO + "permutation a(b) b", 6, "a waits for b, a step of its own session", "of another session"),
    (TWO + "permutation 12", 6, "'12' cannot stand here", "the name of a step"),
    (TWO + "{ SELECT 1 }", 6, "a block of SQL cannot stand here", ""),
]


@pytest.mark.parametrize(("text", "line", "what", "next"), MISTAKES)
def test_a_mistake_gets_a_sentence_with_its_line(text: str, line: int, what: str, next: str) -> None:
    with pytest.raises(Misuse) as caught:
        Spec.read(text)
    assert f"The spec cannot be read: line {line}: {what}." in str(caught.value)
    assert next in caught.value.next
