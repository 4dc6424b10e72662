"""Scans in one layout whatever the format they come in, choice of their neurons, reliability from repeats."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loading": ["load_scan"],
        "readers": ["find_reader"],
        "reliability": ["jackknife_oracle", "signal_to_noise_weight"],
        "scan": ["Scan"],
        "selection": ["select_neurons"],
        "summary": ["summarise_scan"],
    },
)
