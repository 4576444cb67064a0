"""What all tests share: Hypothesis without time limits (machines differ), no example database in the tree."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("pillarbox", deadline=None, database=None)
settings.load_profile("pillarbox")
