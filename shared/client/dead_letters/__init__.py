"""Dead letters: find, explain, replay, park, discard, export and import them; docs/dead-letters.md explains it.

Everything reads ``render.dlq`` by offsets, joins no consumer group and works while the pipeline runs.
"""
