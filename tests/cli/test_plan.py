"""`workbook plan FILE` as a person calls it: plans as they are saved, pictures, and a sentence for what is no plan."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.calling import Done, called
from workbook.draw.plan import STEPS_MAX

SAVED = Path(__file__).parent.parent / "plans" / "saved"
TEXT = (SAVED / "postgresql-18" / "nested-loop.txt").read_text()
JSON = (SAVED / "postgresql-18" / "nested-loop.json").read_text()
AGAIN = "Next: save the whole output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
LOG = "2026-01-01 12:00:00 UTC [42] LOG:  duration: 1.2 ms  plan:\n"


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Calls the command in this process; FILE stands for a file that holds `saved`, - for standard input with it."""

    def call(*arguments: str, saved: str | bytes = TEXT) -> Done:
        raw = saved if isinstance(saved, bytes) else saved.encode()
        path = tmp_path / "saved.plan"
        path.write_bytes(raw)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="ascii"))
        return called(capsys, "plan", *(argument.replace("FILE", str(path)) for argument in arguments))

    return call


def wide(steps: int) -> str:
    head = "Append  (cost=0.00..9.00 rows=1 width=4)\n"
    return head + "  ->  Seq Scan on t  (cost=0.00..9.00 rows=1 width=4)\n" * (steps - 1)


def deep(steps: int) -> str:
    arrows = ["", *(" " * (2 + 6 * depth) + "->  " for depth in range(steps - 1))]
    return "\n".join(f"{arrow}Materialize  (cost=0.00..9.00 rows=1 width=4)" for arrow in arrows)


def deep_json(steps: int) -> str:
    above = '{"Node Type": "Materialize", "Plans": [' * (steps - 1)
    return f'[{{"Plan": {above}{{"Node Type": "Result"}}{"]}" * (steps - 1)}}}]'


def deep_duckdb(steps: int) -> str:
    return '{"name": "FILTER", "children": [' * steps + "]}" * steps


def deep_sqlite(steps: int) -> str:
    return "QUERY PLAN\n" + "\n".join("   " * depth + "`--CO-ROUTINE x" for depth in range(steps))


def prefixed(prefix: str, text: str = TEXT) -> str:
    return "".join(f"{prefix}{line}\n" for line in text.splitlines())


def step(**fields: object) -> str:
    return json.dumps([{"Plan": {"Node Type": "Seq Scan", "Relation Name": "t", **fields}}])


def in_a_frame(text: str) -> str:
    lines = text.splitlines()
    width = max(map(len, lines))
    rows = [f"│{'QUERY PLAN':^{width + 2}}│", f"├{'─' * (width + 2)}┤", *(f"│ {line:{width}} │" for line in lines)]
    return "\n".join([f"┌{'─' * (width + 2)}┐", *rows, f"└{'─' * (width + 2)}┘", f"({len(lines)} rows)"])


def with_marks(text: str) -> str:
    lines = text.splitlines()
    width = max(map(len, lines))
    body = "\n".join(f" {line:{width}} +" for line in lines)
    return f"{'QUERY PLAN':^{width}}\n{'-' * width}\n{body}\n(1 row)\n"


ROOT = json.loads(JSON)[0]["Plan"]
SAVED_AS = {
    "text": TEXT,
    "JSON": JSON,
    "UTF-16 as PowerShell saves it": TEXT.encode("utf-16"),
    "JSON in UTF-16": JSON.encode("utf-16"),
    "UTF-16 without its mark": TEXT.encode("utf-16-le"),
    "UTF-16 from the other end": TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "UTF-8 with its mark": TEXT.encode("utf-8-sig"),
    "line ends of Windows": TEXT.replace("\n", "\r\n"),
    "line ends of an old Mac": TEXT.replace("\n", "\r"),
    "psql's frame": in_a_frame(TEXT),
    "psql's marks": with_marks(JSON),
    "a log": LOG + f"\tQuery Text: SELECT {'1, ' * 50_000} 1\n" + prefixed("\t"),
    "a log of JSON": LOG + prefixed("\t", json.dumps({"Query Text": "SELECT 1", "Plan": ROOT}, indent=2)),
    "a log in JSON": json.dumps(
        {"timestamp": "now", "message": f"duration: 1 ms  plan:\nQuery Text: SELECT 1\n{TEXT}"}
    ),
    "a container's log": prefixed("postgres-1  | ", LOG + prefixed("\t")),
    "syslog": prefixed("Jan  1 12:00:00 db postgres[42]: [3-2] #011"),
    "an answered mail": prefixed("> "),
    "a web page": f"<html><pre>{TEXT.replace('>', '&gt;')}</pre></html>",
    "the root of the JSON alone": json.dumps(ROOT),
}


@pytest.mark.parametrize("saved", SAVED_AS.values(), ids=SAVED_AS.keys())
def test_a_plan_is_drawn_however_it_was_saved(plan: Callable[..., Done], saved: str | bytes) -> None:
    assert plan("FILE", saved=saved) == Done(0, plan("FILE").stdout, "")


@pytest.mark.parametrize("saved", [TEXT, TEXT.encode("utf-16"), TEXT.replace("lines", "Zeilen für")], ids=range(3))
def test_standard_input_is_read_in_any_encoding(plan: Callable[..., Done], saved: str | bytes) -> None:
    done = plan("-", saved=saved)
    assert done.returncode == 0 and done.stdout.startswith("Nested Loop   rows 20") and not done.stderr


@pytest.mark.parametrize("name", ["duckdb/join-analyzed.json", "sqlite/join.txt"])
def test_the_other_engines_plans_are_drawn(plan: Callable[..., Done], name: str) -> None:
    done = plan("FILE", saved=(SAVED / name).read_bytes())
    assert done.returncode == 0 and "orders" in done.stdout and not done.stderr


def test_the_same_as_data(plan: Callable[..., Done]) -> None:
    report = json.loads(plan("FILE", "--json").stdout)
    assert (report["engine"], report["plan"]["kind"]) == ("postgresql", "Nested Loop")


def test_two_plans_are_compared(plan: Callable[..., Done], tmp_path: Path) -> None:
    other = SAVED / "postgresql-18" / "seq-scan.txt"
    done = plan("FILE", str(other), "--svg", str(tmp_path / "both.svg"))
    assert done.returncode == 0 and "Nested Loop is gone" in done.stdout
    assert "Two query plans" in (tmp_path / "both.svg").read_text(encoding="utf-8")
    assert json.loads(plan("FILE", "FILE", "--json").stdout)["changes"] == []


def test_the_picture_is_written(plan: Callable[..., Done], tmp_path: Path) -> None:
    done = plan("FILE", "--svg", str(tmp_path / "out.svg"))
    assert done.returncode == 0 and done.stderr == f"drawn: {tmp_path / 'out.svg'}\n"
    assert (tmp_path / "out.svg").read_text(encoding="utf-8").startswith("<svg")


def test_where_no_picture_can_be_written_a_sentence_names_the_file(plan: Callable[..., Done], tmp_path: Path) -> None:
    away = tmp_path / "nowhere" / "x.svg"
    done = plan("FILE", "--svg", str(away))
    assert done == Done(
        2,
        "",
        f"The picture cannot be written to {away}: there is no folder {away.parent}. "
        "Next: make the folder, or name another file.\n",
    )
    done = plan("FILE", "--svg", str(tmp_path))
    assert done.returncode == 2 and f"{tmp_path} is a folder. Next: name the file" in done.stderr
    done = plan("FILE", "--svg", "/dev/full") if Path("/dev/full").exists() else done
    assert done.returncode == 2 and "Next: name" in done.stderr


def test_a_picture_never_overwrites_its_plan(plan: Callable[..., Done], tmp_path: Path) -> None:
    done = plan("FILE", "--svg", "FILE")
    assert done.returncode == 2 and "is the plan itself" in done.stderr
    assert (tmp_path / "saved.plan").read_text() == TEXT


@pytest.mark.parametrize(
    ("saved", "says"),
    [
        ("", "This text is empty"),
        (" \r\n\r\n", "This text is empty"),
        ("hello", "There is no plan in this text"),
        ("\n" * 1_000_000, "This text is empty"),
        (" " * 1_000_000 + "x", "There is no plan in this text"),
        ("[]", "This JSON has no plan of PostgreSQL or DuckDB"),
        ('{"a":1}', "This JSON has no plan of PostgreSQL or DuckDB"),
        ('{"name": "a package", "version": "1"}', "This JSON has no plan of PostgreSQL or DuckDB"),
        ('{"Node Type":3}', "has the 'Node Type' 3, which is no name"),
        ('[{"Plan": {"Node Type":3}}]', "has the 'Node Type' 3, which is no name"),
        ('[{"Plan": {"Plans": []}}]', "has no 'Node Type'"),
        ('[{"Plan": {"Node Type":"Sort", "Plans": [3]}}]', "The 'Plans' of the step 'Sort' are no list of steps"),
        (step(**{"Shared Hit Blocks": -5}), "The step 'Seq Scan' has Shared Hit Blocks: -5"),
        (step(**{"Actual Rows": float("nan")}), "has Actual Rows: nan"),
        (step(**{"Actual Loops": float("inf")}), "has Actual Loops: inf"),
        (step(**{"Plan Rows": "many"}), "has Plan Rows: 'many'"),
        (JSON[: len(JSON) // 2], "This JSON is cut off or damaged"),
        (TEXT[: TEXT.index("cost=") + 8], "The counters of this step are cut off"),
        ("Seq Scan on t  (cost=0.00..1.00 rows=1 width=4) (actual rows=-1 loops=1)", "none that PostgreSQL prints"),
        ("Seq Scan on t  (cost=0.00..nan rows=1 width=4)", "none that PostgreSQL prints"),
        (TEXT.replace("  ->  ", "?  ->  "), "begins with something that is not of it: ? -> "),
        ("- Plan: \n    Node Type: 'Seq", "This YAML is cut off or damaged"),
        ("- Plan: \n    Node Type: Sort\n    a: &a [b]", "This YAML is cut off, damaged or not of PostgreSQL"),
        ("- Plan: \n    a: " + "[" * 1_000_000, "This YAML is cut off, damaged or not of PostgreSQL"),
        ('<explain xmlns="http://www.postgresql.org/2009/explain"/>', "This is a plan in XML"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_what_is_no_plan_gets_a_sentence_and_what_to_save(plan: Callable[..., Done], saved: str, says: str) -> None:
    done = plan("FILE", saved=saved)
    assert done.returncode == 2 and not done.stdout
    assert says in done.stderr and AGAIN in done.stderr and "saved.plan: " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("made", [deep, deep_json, deep_duckdb, deep_sqlite])
def test_the_same_depth_is_too_deep_in_every_form(
    plan: Callable[..., Done], tmp_path: Path, made: Callable[[int], str]
) -> None:
    for more in ([], ["--json"], ["--svg", str(tmp_path / "out.svg")]):
        assert plan("FILE", *more, saved=made(200)).returncode == 0
    for steps in (300, 600):
        done = plan("FILE", saved=made(steps))
        assert done.returncode == 2 and "nested more than 200 steps deep. Next: explain a part" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "saved", "says"),
    [
        (
            ("nowhere.json",),
            "",
            "nowhere.json cannot be read. Tried: No such file or directory. Next: look at its name",
        ),
        ((str(SAVED),), "", "cannot be read. Tried: Is a directory."),
        (("FILE",), bytes(range(256)) * 20, "saved.plan is no text. Next: save the plan as text in UTF-8."),
        (("FILE",), b"\0" * 100, "saved.plan is no text."),
        (("FILE",), "Filter: 'Straße'".encode("latin-1"), "saved.plan is no text."),
        (("-",), b"\xff\x00\x80", "Standard input is no text."),
        (("-", "-"), TEXT, "Standard input holds one plan. Next: save the other one in a file."),
        (("FILE", "FILE"), "hello", "saved.plan: There is no plan"),
        (("FILE",), "x" * 5_000_001, "5,000,001 characters; a plan has at most 5,000,000. Next: save the plan alone"),
        (("FILE",), b"x" * 20_000_001, "is longer than any plan."),
    ],
    ids=range(10),
)
def test_a_mistake_is_a_sentence_and_exit_code_2(
    plan: Callable[..., Done], arguments: tuple[str, ...], saved: str | bytes, says: str
) -> None:
    done = plan(*arguments, saved=saved)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "saved",
    [
        TEXT + "\n" + TEXT,
        JSON + "\n" + JSON,
        json.dumps(json.loads(JSON) * 2),
        LOG + prefixed("\t") + LOG + prefixed("\t"),
    ],
    ids=["text", "JSON", "a list", "a log"],
)
def test_of_several_plans_the_first_is_drawn_and_the_others_are_counted(plan: Callable[..., Done], saved: str) -> None:
    done = plan("FILE", saved=saved)
    note = "Note: This is the first of 2 plans: save each in a file of its own.\n"
    assert done == Done(0, plan("FILE").stdout + note, "")


def test_a_plan_that_is_cut_off_between_two_lines_says_so(plan: Callable[..., Done]) -> None:
    done = plan("FILE", saved=TEXT[: TEXT.rindex("  ->  ")])
    assert done.returncode == 0
    assert "Note: The plan is not whole: below Nested Loop one step is missing." in done.stdout


def test_of_a_plan_of_too_many_steps_the_text_is_given_and_no_picture(
    plan: Callable[..., Done], tmp_path: Path
) -> None:
    svg = tmp_path / "out.svg"
    assert plan("FILE", "--svg", str(svg), saved=wide(STEPS_MAX)).returncode == 0
    svg.unlink()
    done = plan("FILE", "--svg", str(svg), saved=wide(STEPS_MAX + 1))
    assert done.returncode == 2 and done.stdout.count("Seq Scan on t") == STEPS_MAX
    assert done.stderr == "This plan has 2,001 steps, and a picture shows at most 2,000. Next: read it as text.\n"
    assert not svg.exists()


def test_a_wide_plan_is_read_in_one_pass(plan: Callable[..., Done]) -> None:
    """What grew with the square of the steps took more than half a minute here."""
    done = plan("FILE", saved=wide(30_000))
    assert done.returncode == 0 and done.stdout.count("\n") == 30_000


def test_a_stop_from_the_keyboard_ends_it_with_a_word() -> None:
    program = [sys.executable, "-m", "workbook.cli", "plan", "-"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdin
        running.stdin.write(wide(4_000))  # more than a pipe holds: it is written when the command reads
        running.stdin.flush()
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 130 and said == "Stopped.\n"
