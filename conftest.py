"""Under pytest a check that gives less than full marks fails, so that `pytest --nbval-lax NOTEBOOK` says whether a lab is solved."""

import os

os.environ.setdefault("WORKBOOK_CHECK", "strict")
