"""Validation of a render request: from the bytes of a record to a request, or to one rejection that says what to fix.

``parsing`` reads the record's value, ``rules`` checks what the models can't express, ``errors`` turns the errors of a
model into one problem, ``wording`` puts a JSON Schema node into words.
"""

from shared.messages.validation.parsing import parse_request
from shared.messages.validation.rules import advice, check_consent, check_engine_params, check_request, check_tenant

__all__ = ["advice", "check_consent", "check_engine_params", "check_request", "check_tenant", "parse_request"]
