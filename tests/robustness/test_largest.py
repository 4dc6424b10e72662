from itertools import product

import numpy as np
import pytest

from neuroreg.robustness.largest import largest_distances


def test_the_largest_distance_is_that_of_the_farthest_corner():
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 3), dtype=np.uint8)
    images[4] = 128
    corners = np.array(list(product((0.0, 1.0), repeat=6)))
    found = largest_distances(images)
    for index, image in enumerate(images):
        differences = corners - image.ravel() / 255
        for norm, order in (("l0", 0), ("l1", 1), ("l2", 2), ("linf", np.inf)):
            assert found[norm][index] == pytest.approx(np.linalg.norm(differences, order, axis=1).max())
