"""Our numbers against stored ones of the published model, for any reduced configuration of that format."""
