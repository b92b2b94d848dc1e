"""Trains the head that reads mouth shapes off Whisper's features; a development tool, never imported by a service."""
