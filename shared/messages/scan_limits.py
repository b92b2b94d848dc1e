"""How many of the newest events a client reads, unless the caller sets a limit."""

MAX_EVENTS = 50_000
"""For a list of jobs; a job has 30 to 60."""
MAX_EVENTS_OF_JOB = 400_000
"""For one job: its key rules the others out before they are parsed."""
MAX_EVENTS_OF_AUDIT = 1_000_000
"""For the audit: it leaves out progress, which most events are, unparsed."""
