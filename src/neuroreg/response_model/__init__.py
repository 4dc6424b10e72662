"""The predictive model of a scan's neurons, its fit, predictions and scores, and simpler baselines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": ["score_baselines"],
        "files": ["load_response_model", "save_response_model"],
        "fit": ["FittedResponseModel", "fit_response_model"],
        "linear_nonlinear": ["fit_linear_nonlinear"],
        "model": ["ResponseModel"],
        "predict": ["predict_pool", "predict_trials"],
        "reliability": ["feve", "fraction_of_oracle", "measure_neurons"],
        "ridge": ["fit_ridge"],
        "settings": ["FitSettings"],
    },
)
