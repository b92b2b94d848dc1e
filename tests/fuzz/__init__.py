"""Fuzzing of everything that reads what strangers send: `make fuzz`, and a short form in `make test`."""
