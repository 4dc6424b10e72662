"""Networks, the similarity objective, one training run and its checkpoint."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoints": ["load_model", "save_model"],
        "networks": ["ResNet"],
        "objective": ["SimilarityReadout", "similarity_loss"],
        "run": ["SimilarityTarget", "TrainedModel", "make_target", "train"],
        "settings": ["TrainingSettings"],
    },
)
