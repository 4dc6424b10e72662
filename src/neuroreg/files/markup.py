"""Texts of the user's, such as labels, in other languages: nothing in them is taken for a command."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\symbol{34}",  # active in some languages
        "`": r"\textasciigrave{}",
        "'": r"\textquotesingle{}",
        "[": "{[}",  # else taken for an option where a row begins
        "*": "{*}",  # likewise
        "-": "{-}",  # two would be a dash
    }
)


def one_line(text: str) -> str:
    """Return `text` with a single blank where it has white space or line breaks, none at its ends."""
    return " ".join(text.split())


def escape_latex(text: str) -> str:
    """Return `text` so that LaTeX prints it as it stands, line breaks as blanks.

    Letters of other scripts stay: see `beyond_latex`.
    """
    line = one_line(text)
    # A single hyphen is one.
    return line.translate(_LATEX if "--" in line else {**_LATEX, ord("-"): "-"})


def beyond_latex(text: str) -> str:
    """Return the characters of `text`, each once, for which LaTeX needs a Unicode engine and a font.

    Latin letters with their accents and common punctuation are no such characters.
    """
    return "".join(dict.fromkeys(one for one in text if ord(one) > 0x17F and not "‐" <= one <= "…"))
