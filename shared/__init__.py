"""What the services share: messages, stage runtime, storage, telemetry, local stack, command line."""

__version__ = "0.4.0"
