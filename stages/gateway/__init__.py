"""Answers to people and programs that ask for jobs. Not a stage of the pipeline: jobs do not need it."""
