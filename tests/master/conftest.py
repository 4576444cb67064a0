from __future__ import annotations

from tests.master.trial import suite

__all__ = ["suite"]
