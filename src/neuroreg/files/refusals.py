"""What the system refuses (room, rights, locks, memory), told from mistakes in the code, in a sentence."""

import errno
import os
import re

_AGAIN = "run the same command again"
_NO_ROOM = "no space left on its disk{size}; free some, then " + _AGAIN
_FAILING = "the disk or network drive failed ({text}); check it, then " + _AGAIN
_WHAT = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: "no space left in the quota of its disk{size}; free some, then " + _AGAIN,
    errno.EFBIG: "larger than a file may be here{size}; raise the limit (ulimit -f) or use another disk",
    errno.EACCES: "no permission; expected the right to read it, or to write it and in its folder",
    errno.EPERM: "no permission; expected the right to read it, or to write it and in its folder",
    errno.EROFS: "its file system is read-only; expected one that can be written",
    errno.ENOLCK: "its file system has no locks; set HDF5_USE_FILE_LOCKING=FALSE in the environment, then "
    + _AGAIN,
    errno.EAGAIN: "open in another program, for writing; close it there, then " + _AGAIN,
    errno.ENOENT: "no such file or folder; expected it",
    errno.EISDIR: "is a folder; expected a file",
    errno.ENOTDIR: "a part of this path is a file; expected a folder",
    errno.EEXIST: "is in the way; expected a folder, or nothing, of this name",
    errno.EIO: _FAILING,
    errno.ESTALE: _FAILING,
    errno.EMFILE: "too many open files; raise the limit (ulimit -n), then " + _AGAIN,
    errno.ENFILE: "too many open files on this machine; close some, then " + _AGAIN,
    errno.ENAMETOOLONG: "the name is too long for its file system; expected a shorter one",
    errno.ELOOP: "links that lead in a circle; expected a file",
    errno.ENOMEM: "not enough memory; free some, then " + _AGAIN,
}
# HDF5 and safetensors say which error of the system it was, and of which file, in their texts alone.
_NUMBER = re.compile(r"\berrno = (\d+)|\(os error (\d+)\)")
_NAME = re.compile(r"\bname = '([^']+)'")
_HDF5 = re.compile(r"(?:Can't|Cannot|Unable to) [^(]*\(", re.IGNORECASE)
_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
_WRITING = re.compile(r"while writing (?P<path>.*?)(?: of (?P<size>[\d.]+ MB))?", re.DOTALL)


def writing_note(path: str | os.PathLike, size: int | None = None) -> str:
    """Return the note that an error carries which came up while a file of `size` bytes was written."""
    return f"while writing {os.fspath(path)}" + (f" of {size / 1e6:.1f} MB" if size is not None else "")


def refusal(error: BaseException) -> str | None:
    """Return one sentence for an error whose cause is the system, None for any other.

    Parameters
    ----------
    error
        Any. Told are errors of the system, those in the texts of HDF5 and safetensors too; a lack of memory,
        PyTorch's too; and text that is not UTF-8.

    Returns
    -------
    str or None
        Which file, what was refused and what helps.
    """
    path, size = _place(error)
    text = (str(error).splitlines() or [""])[0].strip().rstrip(".")
    where = f"{path}: " if path else ""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _MEMORY.search(str(error))):
        expected = "expected more, of the machine, the GPU or what the job asks for (mem_mb)"
        return f"{where}not enough memory ({_short(text)}); {expected}."
    if isinstance(error, UnicodeError):
        return f"{where}text that is not UTF-8 ({_short(text)}); expected UTF-8."
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (match := _NUMBER.search(str(error))):
        number = int(match[1] or match[2])
    if number is not None:
        what = _WHAT.get(number, "{text}; expected the system to allow it")
        told = what.format(size=f" for its {size}" if size else "", text=os.strerror(number))
        return f"{path or _short(text)}: {told}."
    if isinstance(error, OSError) or type(error).__name__ == "SafetensorError" or _of_hdf5(error):
        return f"{path or 'a file'}: {_short(text)}; expected a complete file that can be read and written."
    return None


def _place(error: BaseException) -> tuple[str | None, str | None]:
    """Return which file an error is about, and how large it was to be, where they are told."""
    for note in getattr(error, "__notes__", ()):
        if match := _WRITING.fullmatch(note):
            return match["path"], match["size"]
    if isinstance(error, OSError) and error.filename is not None:
        return os.fsdecode(error.filename) if not isinstance(error.filename, int) else None, None
    match = _NAME.search(str(error))
    return match and match[1], None


def _of_hdf5(error: BaseException) -> bool:
    return isinstance(error, RuntimeError | KeyError) and _HDF5.match(str(error).strip("'\"")) is not None


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."
