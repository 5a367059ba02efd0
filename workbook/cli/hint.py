"""`workbook hint ID`: the next of an exercise's three hints."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def hint(
    id: Annotated[str, typer.Argument(metavar="ID", help="The exercise, such as indexes-order.")],
    json_: Annotated[bool, typer.Option("--json", help="As data.")] = False,
) -> None:
    """Show the next hint for an exercise: first a question, then a direction, then nearly the answer."""
    from workbook.cli.progress import in_my_work
    from workbook.grading.desk import HintCard
    from workbook.grading.desk import hint as next_hint

    with in_my_work():
        card = next_hint(id)
    if json_ and isinstance(card, HintCard):
        card_data = {"id": id, "hints": list(card.steps), "number": card.number, "of": card.of}
        typer.echo(json.dumps(card_data, indent=1, ensure_ascii=False))
    else:
        typer.echo(str(card))
