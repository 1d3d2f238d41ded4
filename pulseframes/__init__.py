"""Raygun Real User Monitoring sessions as typed polars DataFrames.

``__init__.pyi`` lists the public names. Each is loaded when it is first used, so ``import pulseframes`` costs next to nothing.
"""

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load a public name; suggest the nearest for one that does not exist."""
    try:
        return _load(name)
    except AttributeError:
        if name in __all__:
            raise  # a fault in the module that has it
        from pulseframes._arguments import did_you_mean

        hint = "" if name.startswith("__") else did_you_mean(name, __all__)
        raise AttributeError(f"module 'pulseframes' has no attribute {name!r}.{hint}", name=name) from None
