"""gRPC: submit, watch, fetch and cancel renders, for programs that prefer typed stubs to HTTP."""
