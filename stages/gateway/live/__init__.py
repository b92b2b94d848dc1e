"""Live states: one reader of the events for the whole process, which passes each change to those who watch the job."""
