"""One record: decoded, processed, forwarded."""
