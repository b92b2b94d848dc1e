"""The front door: HTTP and gRPC for programs, a page for people, webhooks, and the state of every job."""
