"""One record: decode, process, forward."""
