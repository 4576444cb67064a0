"""Mail stores: access to mailboxes (`interface`) and the writers that deliver into them.

`open_store("maildir:/path")` gives a `Store`; the other kinds are in `kinds`.
"""

from pillarbox.lib.store.kinds import OPENERS, open_store

__all__ = ["OPENERS", "open_store"]
