"""Regularise image classifiers with the similarity geometry of mouse V1 (Li et al., NeurIPS 2019).

What docs/python.md describes is handed out here; it is imported when it is first asked for.
"""

import lazy_loader

__version__ = "0.3.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        *("files", "images", "response_model", "robustness", "scans", "similarity", "simulator", "training"),
    ],
    submod_attrs={
        "analysis.distances": ["load_distances"],
        "analysis.own_model": ["minimal_distances"],
        "errors": ["InputError"],
        "files.records": ["read_record", "write_record"],
        "images.classification": ["ClassificationData"],
        "images.stimuli": ["Stimuli"],
        "robustness.attacks.as_foolbox": ["RegistryAttack", "foolbox_model"],
        "scans.loading": ["load_scan"],
        "scans.scan": ["Scan"],
        "similarity.matrix": ["SimilarityMatrix", "centred_cosine"],
        "similarity.measured": ["measured_similarity"],
        "training.checkpoints": ["load_model"],
        "training.export": ["export_model", "load_exported"],
    },
)
