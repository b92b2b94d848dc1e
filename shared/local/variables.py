"""Which environment variables concern the stack, and which of them nobody may read."""

import re

PASSED_ON = re.compile(r"^(LIPSTAGE|OTEL|KAFKA|AWS|OMP)_")
"""Reach every service and every export."""
SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|SESSION|_KEY$|HEADERS|CREDENTIAL", re.IGNORECASE)
"""Never shown and never written to a file; services get them by inheritance."""
