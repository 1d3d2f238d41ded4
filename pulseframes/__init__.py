"""Raygun Real User Monitoring sessions as typed polars DataFrames.

``__init__.pyi`` lists the public names. Each is loaded when it is first used, so ``import pulseframes`` costs next to nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
