"""What simulated scans have in common."""

from typing import Annotated

from pydantic import Field, model_validator

from neuroreg.settings import NonNegative, Settings, problem, show


class SimulatorSettings(Settings):
    """What simulated scans have in common."""

    oracle_repeats: Annotated[int, Field(ge=2)] = 10
    """Presentations of each oracle image; other images are shown once."""
    single_trial_similarity: Annotated[float, Field(gt=0, lt=1)] | None = 0.39
    """Trial noise is set, scan by scan, so that similarities of single trials correlate this well with those
    averaged over the other repeats (0.39 in the paper); null for a fixed noise."""
    noise: NonNegative | None = None
    """Instead, a fixed level of trial noise: the variance of a weak response over its mean; 0 is no noise.
    Then single_trial_similarity is null."""
    dropped_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of trials left out at random, as recorded scans lack those with missing covariates."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "SimulatorSettings":
        if (self.single_trial_similarity is None) == (self.noise is None):
            raise problem(
                f"found {show(self.noise)} beside single_trial_similarity "
                f"{show(self.single_trial_similarity)}; expected a number for one of the two.",
                "noise",
            )
        return self
