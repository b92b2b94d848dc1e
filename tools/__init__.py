"""Tools that derive committed data; development only, never part of the installed package."""
