"""Declarations of the commands: options and help. Everything heavy is imported when a command runs."""
