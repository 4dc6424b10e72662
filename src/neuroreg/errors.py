"""The one exception that means: the user's input is at fault, and one sentence says how."""


class InputError(Exception):
    """Bad input from outside the library: a config value, a file, a data set.

    The message is one sentence that names the file or key, what was found and what was expected.
    """
