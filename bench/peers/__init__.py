"""What others would build: the same four handlers as one task under Celery, Dramatiq, a plain Kafka loop and Faust.

Each runs in the environment of ``make setup-bench`` with as many worker instances as the plain processes of
bench.throughput: two, with one task at a time each. A task renders one whole video; its intermediate files lie in a
scratch folder of the local disk, and only the video is moved to its place, where the pipeline passes every artifact
through the object store and serves stages that scale by themselves. That is the peers' advantage, and is meant to be.
"""
