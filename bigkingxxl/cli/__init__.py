"""The command line: one thin module a command; see `main` for how a command is added."""
