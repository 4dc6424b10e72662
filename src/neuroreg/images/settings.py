"""Which images are classified, and of which the similarity is shared."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from neuroreg.settings import Count, Settings, needed_and_unused, problem

SHOWN = ("scan", "intersection", "union")
"""Sources of stimuli that scans have shown."""


class ClassificationSettings(Settings):
    """The images that are classified, always gray, 32x32, in [0, 1]."""

    source: Literal["photograph_patches", "digits", "cifar10", "cifar100", "image_folder"] = (
        "photograph_patches"
    )
    """photograph_patches: patches of the photographs that come with scikit-image and scikit-learn, the class
    being the photograph. digits: the handwritten digits that come with scikit-learn. cifar10, cifar100:
    through torchvision. image_folder: path/train/<class>/<image> and path/test/<class>/<image>."""
    path: str | None = None
    """The folder of cifar10, cifar100 (torchvision's root) or image_folder."""
    download: bool = False
    """Whether torchvision may download CIFAR into path."""
    train_size: Count | None = None
    """Use only so many training images, drawn from the classes in proportion to their sizes, at least one of
    each; null for all."""
    test_size: Count | None = None
    """Likewise for the test images, of which a class may have none."""

    @model_validator(mode="after")
    def _source(self) -> "ClassificationSettings":
        needed_and_unused(self, "source", dict.fromkeys(("cifar10", "cifar100", "image_folder"), "path"))
        return self


class StimuliSettings(Settings):
    """The images whose similarity is shared, 36x64 gray."""

    source: Literal["photographs", "image_folder", "scan", "intersection", "union"] = "photographs"
    """photographs: crops of the photographs that come with scikit-image and scikit-learn. image_folder: any
    folder of photographs. scan: the images shown in one recorded scan. intersection: those that all scans
    have shown, by key. union: those that any scan has shown. Scans must be recorded for the last three;
    images that any scan repeats in its test tier are left out of the pool."""
    path: str | None = None
    """The folder of image_folder."""
    crop: Literal["centre", "largest"] = "centre"
    """What is cut from a photograph of image_folder. centre: its central 144x256 pixels, reduced by 4, as in
    the paper; where it is smaller, and with largest always, its largest crop of 9:16 around the centre."""
    scan: str | None = None
    """For source scan, the name of that scan."""
    pool_size: Annotated[int, Field(ge=2)] | None = 500
    """Images of the common pool, over which similarities are computed (5,000 in the paper), at least 15 where
    scans are simulated; null for all that scans have shown."""
    oracle_size: Annotated[int, Field(ge=3)] = 100
    """Images that simulated scans repeat (100 in the paper); in recorded scans they are found."""

    @model_validator(mode="after")
    def _source(self) -> "StimuliSettings":
        needed_and_unused(self, "source", {"image_folder": "path", "scan": "scan"})
        if self.pool_size is None and self.source not in SHOWN:
            raise problem(
                f"found null; expected a number where stimuli.source is '{self.source}'.", "pool_size"
            )
        return self
