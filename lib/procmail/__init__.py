"""procmail's language: `.procmailrc` files (procmailrc(5), procmailsc(5)), without any file or program being touched.

`parse_rcfile` reads a file into statements, `Interpreter` carries them out with the hands of a `Carrier`.
"""

from pillarbox.lib.procmail.errors import LimitReached, RecipeError
from pillarbox.lib.procmail.interpreter import Interpreter, Verdict
from pillarbox.lib.procmail.mail import Mail
from pillarbox.lib.procmail.parser import parse_rcfile

__all__ = ["Interpreter", "LimitReached", "Mail", "RecipeError", "Verdict", "parse_rcfile"]
