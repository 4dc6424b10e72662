"""Arrays in the .npy format, from bytes in memory."""

import io
import math
from functools import lru_cache

import numpy as np


def parse_npy(data: bytes) -> np.ndarray:
    """Return the array that ``numpy.save`` wrote, read-only, without copying its values.

    The files of a scan have but a few different headers, each of which is parsed once: for small arrays that
    is most of the work of ``numpy.load``.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    ValueError
        If this is no complete file in the format, or one of pickled objects, which are never loaded.
    """
    width = 2 if data[6:7] == b"\x01" else 4  # of the header's length, by the format's version
    begin = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    shape, fortran_order, dtype = _parse_header(data[:begin])
    values = np.frombuffer(data, dtype, math.prod(shape), begin)
    return values.reshape(shape, order="F" if fortran_order else "C")


@lru_cache(maxsize=64)
def _parse_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    stream = io.BytesIO(header)
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"format version {version}")
    try:
        shape, fortran_order, dtype = readers[version](stream)
    except Exception as error:  # whatever the tokenizer makes of damaged text
        raise ValueError(f"header: {error}") from error
    if dtype.hasobject:
        raise ValueError("holds pickled objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"header: shape {shape}")
    return shape, fortran_order, dtype
