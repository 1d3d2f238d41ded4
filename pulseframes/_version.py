"""The version, said once: the build, the ``User-Agent`` and ``pulseframes --version`` read it here."""

__version__ = "0.1.0"
