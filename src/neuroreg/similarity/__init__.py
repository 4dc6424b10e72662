"""Similarity of images in a population's responses or a network's features, and what repeats say of it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "denoised": ["PredictedResponses", "denoised_similarity"],
        "features": ["feature_similarity", "load_vgg_weights"],
        "given": ["given_similarity"],
        "matrix": [
            "SimilarityMatrix",
            "centred_cosine",
            "mean_similarity",
            "shuffled",
            "similarity_correlation",
        ],
        "measured": ["measured_similarity"],
        "oracle": ["OracleSimilarities", "compare_scans", "oracle_similarities"],
        "raw": ["raw_similarity"],
        "units": ["effective_neurons", "response_units"],
    },
)
