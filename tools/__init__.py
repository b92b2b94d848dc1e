"""Development tools that derive committed data; not part of the installed package."""
