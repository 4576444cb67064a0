"""Mail stores: access to mailboxes (`interface`) and the writers that deliver into them.

`open_store("maildir:/path")` or `open_store("mbox:/path[:INBOX=/var/mail/user]")` gives a `Store`.
"""

from pillarbox.lib.store.interface import Store, StoreUnavailable
from pillarbox.lib.store.quota import FROM_FILE, Quota


def open_store(location: str, quota: Quota = FROM_FILE) -> Store:
    """Give access to the account at `location`; the place is created when first written to.

    `quota` holds for Maildirs.

    Raises StoreUnavailable when the location is not of a known kind or not an absolute path.
    """
    kind, _, path = location.partition(":")
    if kind == "maildir" and path.startswith("/"):
        from pillarbox.lib.store.maildir.store import MaildirStore

        return MaildirStore(path, quota)
    if kind == "mbox" and path.startswith("/"):
        from pillarbox.lib.store.mbox.store import MboxStore

        folders, _, option = path.partition(":")
        inbox = option.removeprefix("INBOX=")
        return MboxStore(folders, inbox or None)
    raise StoreUnavailable(f'mail location "{location}": expected maildir:/path or mbox:/path')
