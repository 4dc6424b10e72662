"""Which scans there are, where they come from, and which of their neurons are used."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from neuroreg.download.obtain import file_name
from neuroreg.errors import InputError
from neuroreg.settings import Count, Distinct, Entry, Settings, Sha256, problem


class SimulatedScan(Entry):
    """A scan by the simulator."""

    source: Literal["simulated"]
    """By the simulator."""
    n_neurons: Count
    """How many neurons it has."""


class RecordedScan(Entry):
    """A scan of yours."""

    source: Literal["recorded"]
    """A file or folder of yours; its format is found out."""
    path: str
    """The file or folder."""


class DownloadedScan(Entry):
    """A scan from the network, unless it is in downloads.folder already."""

    source: Literal["download"]
    """From url, unless it is in downloads.folder already."""
    url: str
    """The address, http or https, of a zip or HDF5 file."""
    sha256: Sha256 | None = None
    """What the SHA-256 must be; without it, what it was when the file was first seen."""
    file: str | None = None
    """The file's name in downloads.folder; without it, the last part of url."""

    @property
    def kept_as(self) -> str:
        """The name of its file in downloads.folder."""
        return file_name(self.url, self.file)

    @model_validator(mode="after")
    def _has_a_name(self) -> "DownloadedScan":
        try:
            _ = self.kept_as
        except InputError as error:
            raise problem(str(error), "url" if self.file is None else "file") from error
        return self


ScanEntry = Annotated[SimulatedScan | RecordedScan | DownloadedScan, Field(discriminator="source")]


class DownloadsSettings(Settings):
    """Scans from the network."""

    folder: Annotated[str, Field(min_length=1)] = "data/scans"
    """Where they are kept. A scan that you have already is taken from here: put its file here under its name,
    or its unpacked folder under that name without .zip."""


class NeuronsSettings(Settings):
    """Which neurons of every scan are used; null for all."""

    areas: Distinct[str] | None = None
    """Areas as the scans name them, e.g. V1; "unknown" where a scan does not tell."""
    layers: Distinct[str] | None = None
    """Likewise for layers, e.g. L2/3."""
    min_oracle: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Smallest oracle correlation: of a trial with the mean of the image's other trials, over the repeated
    test images, which also give w. Without effect in scans that have none."""
