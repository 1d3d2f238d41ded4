"""The only rooms that speak HTTP: what goes in is an endpoint and its parameters, what comes out is raw bytes."""

from pulseframes.api.client import PulseClient

__all__ = ["PulseClient"]
