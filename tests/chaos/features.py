"""What the code under test has: a row that needs more is skipped, with the reason."""

import importlib.util

HAS_RELAY = importlib.util.find_spec("shared.runtime.relay") is not None
HAS_REPLAY = importlib.util.find_spec("shared.client.dead_letters") is not None
