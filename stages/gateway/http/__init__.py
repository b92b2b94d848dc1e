"""HTTP: the routes of the API, and what holds for all of them."""
