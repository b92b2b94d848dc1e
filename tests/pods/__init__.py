"""The chart's pods as real containers: `make pods`. podman plays them; this package is kubelet and controller.

Needs root, podman with runc, and the images of `make images images-infra`.
"""
