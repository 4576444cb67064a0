"""One module for each parser, named like its seeds."""
