"""What travels between services: requests, tasks, events, topics, headers and the public codes."""
