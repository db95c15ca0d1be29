r"""The cells of a line, and a line with one of its cells changed and the rest left as it is.

>>> cells('7,"10,000",CD', ",")
['7', '10,000', 'CD']
>>> with_cell("the   DT  O", " ", 1, "NN")
'the   NN  O'
"""

import re

__all__ = ["cells", "with_cell"]

_CELLS = {
    "\t": re.compile(r"(?:^|(?<=\t))[^\t]*"),
    " ": re.compile(r"[^ \t]+"),
    ",": re.compile(r'(?:^|(?<=,))(?:"(?:[^"]|"")*"(?=,|$)|[^,]*)'),
}


def cells(line: str, separator: str) -> list[str]:
    """The cells of a line.

    Args:
        line: without its end.
        separator: a tab; a blank, for runs of blanks and tabs; or a comma, where a cell may be in
            double quotes and those in it doubled.

    Raises:
        ValueError: a quoted cell has no end.
    """
    if separator == "\t" or (separator == "," and '"' not in line):
        return line.split(separator)
    found = _CELLS[separator].findall(line)
    return found if separator == " " else [_unquoted(cell) for cell in found]


def _unquoted(cell: str) -> str:
    if not cell.startswith('"'):
        return cell
    if len(cell) == 1 or not cell.endswith('"'):
        raise ValueError("a quoted cell has no end on this line")
    return cell[1:-1].replace('""', '"')


def with_cell(line: str, separator: str, index: int | None, value: str) -> str:
    """The line with another value in a cell.

    Args:
        line: as for `cells`.
        separator: as for `cells`.
        index: number of the cell, from 0; None for a new one at the end.
        value: what to write there, quoted where it has to be.
    """
    if separator == "," and any(mark in value for mark in ',"'):
        value = '"' + value.replace('"', '""') + '"'
    if index is None:
        joint = "\t" if separator == " " and "\t" in line else separator
        return line.rstrip(" \t") + joint + value if separator == " " else line + joint + value
    start, end = [found.span() for found in _CELLS[separator].finditer(line)][index]
    return line[:start] + value + line[end:]
