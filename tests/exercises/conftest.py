"""The harness with pytest's readable assertions."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.exercises.harness")
