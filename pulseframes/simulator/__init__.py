"""A Pulse server on loopback that follows the API's documentation, for demos and tests."""

from pulseframes.simulator.access import Response
from pulseframes.simulator.app import Request
from pulseframes.simulator.faults import Fault, Faults, load_faults
from pulseframes.simulator.simulator import Simulator

__all__ = ["Fault", "Faults", "Request", "Response", "Simulator", "load_faults"]
