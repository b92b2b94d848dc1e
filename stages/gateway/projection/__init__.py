"""The job-state projection: folds ``render.events`` into ``render.jobs``, and answers questions on jobs over HTTP."""
