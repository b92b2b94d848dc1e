"""Builds the container images of deploy/images, measures them, and builds stand-ins for the infrastructure's images."""
