"""The types of table, a module each, with `open_table(spec, options, registry)`; the registry imports what is used."""
