"""One attempt at a task: its worker process, its files, its transfers."""
