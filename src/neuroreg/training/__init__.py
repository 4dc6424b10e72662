"""Networks, the similarity objective, one training run and its checkpoint."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "architectures": ["Network", "build_network"],
        "checkpoints": ["load_model", "save_model"],
        "export": ["export_model", "load_exported"],
        "networks": ["ResNet"],
        "objective": ["Objective", "SimilarityReadout", "similarity_loss"],
        "run": ["SimilarityTarget", "TrainedModel", "make_target", "train"],
        "settings": ["TrainingSettings"],
    },
)
