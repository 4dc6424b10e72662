"""What simulated scans have in common."""

from typing import Annotated

from pydantic import Field, model_validator

from neuroreg.settings import NonNegative, Settings, problem, show


class SimulatorSettings(Settings):
    """What simulated scans have in common."""

    oracle_repeats: Annotated[int, Field(ge=2)] = 10
    """Presentations of each oracle image; other images are shown once."""
    single_trial_similarity: Annotated[float, Field(gt=0, lt=1)] | None = 0.39
    """Noise is set, scan by scan, so that similarities of single trials correlate this well with those
    averaged over the other repeats (0.39 in the paper), in units std."""
    mean_oracle: Annotated[float, Field(gt=0, lt=1)] | None = 0.35
    """Noise is set, scan by scan, so that neurons' oracle correlations (of a trial with the mean of the
    image's other trials) have this mean, as in recordings. The two targets decide how much noise is private
    and how much neurons share."""
    noise: NonNegative | None = None
    """Instead of one target or both, a fixed level of private noise: the variance of a weak response over its
    mean; 0 is no such noise. Of the two targets and the two levels, two are numbers and two null."""
    shared_noise: NonNegative | None = None
    """A fixed level of the noise that neurons share: its variance over that of their mean responses to
    images."""
    dropped_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of trials left out at random, as recorded scans lack those with missing covariates."""

    @model_validator(mode="after")
    def _two_of_four(self) -> "SimulatorSettings":
        names = ("single_trial_similarity", "mean_oracle", "noise", "shared_noise")
        values = {name: getattr(self, name) for name in names}
        if sum(value is not None for value in values.values()) != 2:
            found = ", ".join(f"{name} {show(value)}" for name, value in values.items())
            raise problem(f"found {found}; expected two numbers and null for the others.", "noise")
        return self
