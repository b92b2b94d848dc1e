"""Questions about renders: one small language over the attributes of the `render` span, and what answers it."""
