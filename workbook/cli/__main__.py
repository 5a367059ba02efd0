"""`python -m workbook.cli`: the command line, where its script is not on the path."""

from workbook.cli import main

main()
