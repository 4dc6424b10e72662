"""Simulated scans of V1, whose true responses are known."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "simulate": ["SimulatedScan", "simulate_scan"],
        "truth": ["SimulatedTruth"],
    },
)
