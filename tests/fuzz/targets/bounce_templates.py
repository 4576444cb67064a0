"""Files of bounce templates, and the expressions that read what servers say: the same octets are given to both."""

from __future__ import annotations

from pillarbox.lib.message.dsn.explanation import explain
from pillarbox.lib.message.dsn.template import NAMES, read_templates


def fuzz(data: bytes) -> None:
    """What is read can be written and read again; something is said of every reply."""
    warnings: list[str] = []
    found = read_templates(data, warnings.append)
    assert set(found) <= set(NAMES)
    for name, template in found.items():
        assert template.subject and template.body.strip()
        if "EOF\n" in template.body:
            continue
        again = read_templates(template.written(name).encode("utf-8", "surrogateescape"), warnings.append)
        assert again[name] == template
    words = data.decode("utf-8", "replace")
    explained = explain(words[:10], words, words)
    assert explained.cause and explained.cure
