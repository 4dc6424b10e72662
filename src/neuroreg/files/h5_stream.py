"""A file for HDF5 to write into that keeps the system's errors until the end."""

import os
from pathlib import Path


class H5Stream:
    """A new file that takes everything; after the first error of the system nothing is written any more.

    HDF5 itself does not survive a full disk: it fails again for each object that it closes, on the terminal,
    and then crashes.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: str | Path) -> None:
        self._error: OSError | None = None
        self._file = Path(path).open("w+b", buffering=0)  # noqa: SIM115 (closed by close)
        self._position = self._end = 0

    def write(self, data: memoryview) -> int:
        """Write at the position, all of it or, after an error, nothing."""
        view = memoryview(data).cast("B")
        if self._error is None:
            try:
                self._file.seek(self._position)
                done = 0
                while done < len(view):
                    done += self._file.write(view[done:])
            except OSError as error:
                self._error = error
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer from the position, with zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        read = 0
        if self._error is None:
            self._file.seek(self._position)
            read = self._file.readinto(view) or 0
        view[read:] = bytes(len(view) - read)
        self._position += len(view)
        return len(view)

    def read(self, size: int) -> bytes:
        """Return bytes from the position; h5py tells a file by this method."""
        content = bytearray(size)
        self.readinto(content)  # type: ignore[arg-type]
        return bytes(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, as files do."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def truncate(self, size: int) -> int:
        """Make the file as long as `size` says."""
        if self._error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self._error = error
        self._end = size
        return size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        """Close the file, and raise the first error.

        Raises
        ------
        OSError
            What the system refused.
        """
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error
        if self._error is not None:
            raise self._error
