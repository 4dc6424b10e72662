"""Labelled images to classify, photographs, and the stimuli that similarities are about."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "classification": ["ClassificationData", "make_classification"],
        "overlap": ["image_overlap"],
        "photographs": ["folder_stimuli", "photograph_stimuli"],
        "stimuli": ["Stimuli", "make_stimuli", "stimuli_from_scans"],
    },
)
