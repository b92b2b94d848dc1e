"""Names of jobs, tenants and owners: the default tenant, and the pattern of each. Without imports, for a fast start."""

DEFAULT_TENANT = "default"
"""The tenant of a request, a cancel command or a command line that names none."""
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""A tenant or a department."""
JOB_ID = r"^[A-Za-z0-9_-]{1,64}$"
OWNER = r"^[A-Za-z0-9@._+-]{1,128}$"
