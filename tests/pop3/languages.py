"""LANG (RFC 6856 section 3), which is the same in both states: what is asked, and how the answer begins."""

LANGUAGES = [
    (b"LANG MUL", b"-ERR "),
    (b"LANG", b"+OK Language listing follows\r\nen English\r\n.\r\n"),
    (b"lang EN ", b"+OK en "),
    (b"LANG *", b"+OK en "),
    (b"LANG uga", b"-ERR "),
    (b"LANG en-boont", b"-ERR "),
    (b"LANG \xc3\xbc", b"-ERR "),
    (b"LANG en de", b"-ERR "),
]
