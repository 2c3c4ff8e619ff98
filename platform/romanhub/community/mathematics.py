"""Mathematics as MathML, which browsers show without a script."""

from __future__ import annotations

import re
from html import escape

from latex2mathml.converter import convert

#: A formula is no longer, in letters: converting one takes time that grows with its length.
LONGEST = 4000

_FENCES = re.compile(r"^(?:\$\$(?P<a>.*)\$\$|\$(?P<b>.*)\$|\\\[(?P<c>.*)\\\]|\\\((?P<d>.*)\\\))$", re.DOTALL)


def mathml(formula: str, *, display: bool) -> str:
    """Return a LaTeX formula as MathML; as its own source where it cannot be understood.

    Parameters
    ----------
    formula
        The formula, without the signs around it.
    display
        Whether it has a line of its own.
    """
    try:
        if len(formula) > LONGEST:
            raise ValueError("it is too long")
        return str(convert(formula, display="block" if display else "inline"))
    # The converter has no one kind of error for what it does not know.
    except Exception:
        return f"<code>{escape(formula)}</code>"


def mathml_of_output(text: str) -> str:
    """Return an output of the kind text/latex as HTML."""
    found = _FENCES.match(text.strip())
    if found is None:
        return mathml(text.strip(), display=True)
    formula = next(one for one in found.groups() if one is not None)
    return mathml(formula.strip(), display=found["b"] is None and found["d"] is None)
