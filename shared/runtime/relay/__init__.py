"""The relay: sends records on retry topics back to where they came from, when the delay of their tier is over."""
