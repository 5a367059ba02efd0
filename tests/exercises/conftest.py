"""The harness under its short name too, with pytest's readable assertions."""

from __future__ import annotations

import importlib
import sys

import pytest

pytest.register_assert_rewrite("tests.exercises.harness")

sys.modules.setdefault("harness", importlib.import_module("tests.exercises.harness"))
