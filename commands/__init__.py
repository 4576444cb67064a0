"""The commands: each module has `main(argv) -> exit status` and imports only what its own work needs."""
