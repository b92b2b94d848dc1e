"""Messages between services: requests, tasks, events, cancel commands, topics, headers and the public codes."""
