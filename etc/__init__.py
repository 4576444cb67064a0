"""The shipped configuration files, which `pillarbox init` copies into a new instance."""
