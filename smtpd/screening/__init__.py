"""What clients meet before their mail is looked at: tests before the greeting, greylisting; and what accounts may send.

`screen` runs the tests (access_list, greeting, dnsbl) of a client at connect, `results` remembers who has passed;
`greylisting` is a check in RCPT, `accounts` one in DATA, which `notice` supports.  All of them ask the service
`reputation` for what other processes have learnt.  Where it is away nobody is refused for it.
"""
