"""Submits jobs to a peer: ``python -m bench.peers.submit MODULE < jobs.json``, in the peer's environment."""

import json
import sys
from importlib import import_module

from bench.peers import work

if __name__ == "__main__":
    module = import_module(sys.argv[1])
    jobs = json.load(sys.stdin)
    work.note("submit")
    module.submit(jobs)
