"""Sieve, the language in which people say what becomes of their mail (RFC 5228 and its extensions).

    script = compile_script(text, name="main.sieve")        # SieveError says where and what was expected
    result = execute(script, SieveMessage(...), SieveState(...))
    result.actions                                          # in order, the implicit keep among them

A pure function of script, message and state: no file, no socket, no clock.  It promises an end: work, actions
and memory have limits (`limits`), and no expression takes more than its length and the text's multiplied.
What follows from the actions (rights, quotas, who may be answered) is the business of delivery.
"""

from pillarbox.lib.sieve.errors import SieveError
from pillarbox.lib.sieve.interpreter import Script, compile_script, execute
from pillarbox.lib.sieve.limits import Limits
from pillarbox.lib.sieve.registry import EXTENSIONS as ALL
from pillarbox.lib.sieve.registry import chosen_extensions
from pillarbox.lib.sieve.state import Result, SieveMessage, SieveState

__all__ = [
    "ALL",
    "Limits",
    "Result",
    "Script",
    "SieveError",
    "SieveMessage",
    "SieveState",
    "chosen_extensions",
    "compile_script",
    "execute",
]
