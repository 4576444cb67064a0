"""One line per event, in Postfix's line format, so that pflogsumm, fail2ban filters and people's eyes work at once.

    Nov 22 03:38:16 mail pillarbox/smtpd[4711]: 4jXFYl6dnjzKD6m: client=localhost[127.0.0.1]

or the same as JSON objects, one per line.  `log` is the one logger of a process; the process skeleton points it at
its destination.  Text that came from outside may be passed as it is: unprintable characters become `?`.
The standard library's `logging` costs 21 us a line; this costs about 3, and the hot path writes several per message.
"""

from pillarbox.lib.log.logger import Destination, Logger, log

__all__ = ["Destination", "Logger", "log"]
