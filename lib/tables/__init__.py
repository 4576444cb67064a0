"""Look-up tables `type:name`: one interface over indexed files, text files, patterns, the user database and others.

A look-up has exactly three outcomes: a value, `None` for "not there", and `LookupFailed` for "cannot say now".  The
third is never taken for the second: whoever asks defers the mail.  A table file that changes is read again within a
second, a file is replaced in one step, and a table that is broken fails its look-ups with file, line and expectation.

`Registry.open` makes a `Table` from `type:name`; each type is one module in `types`.  `Maps` is what a parameter
lists: several tables asked in order.  `keys` has the orders in which an address is looked up.
"""

from pillarbox.lib.tables.errors import LookupFailed, TableChanged, TableError
from pillarbox.lib.tables.maps import Maps
from pillarbox.lib.tables.registry import STANDARD, Registry
from pillarbox.lib.tables.table import Options, Table, fold

__all__ = ["STANDARD", "LookupFailed", "Maps", "Options", "Registry", "Table", "TableChanged", "TableError", "fold"]
