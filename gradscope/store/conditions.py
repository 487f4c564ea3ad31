"""Conditions: which rows of a table are wanted, such as ``length>=100``, in Python and in SQL."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gradscope.errors import ArgumentError
from gradscope.record import to_json

__all__ = ["Condition", "parse_all", "unknown_name"]

LISTED = 24  # names in a message
_PARTS = re.compile(r"(?:^|,)\s*(\"[^\"]*\"(?=\s*(?:,|$))|'[^']*'(?=\s*(?:,|$))|[^,]*?)\s*(?=,|$)", re.DOTALL)
_CONDITION = re.compile(r"\s*(?P<key>[^<>=!]+?)\s*(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Condition:
    """One condition on the rows of :meth:`Store.table`, such as ``length>=100``.

    After ``=`` and ``!=`` several values may stand between commas; any of them will do. ``none``, ``true``, ``false``,
    ``nan`` and numbers mean these values and text that spells the same, whatever its case; in quotes, single or double,
    they mean the text alone: ``clip=none`` finds runs without clipping, ``clip="none"`` those whose clip is that word.
    A comma in quotes belongs to the text.
    """

    key: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises
        ------
        ArgumentError
            When it is not of the form NAME OPERATOR VALUE, or orders by something that is not a number.
        """
        match = _CONDITION.fullmatch(text)
        if match is None or (match["value"][:1] in tuple("<>=") and _number(match["value"][1:]) is not None):
            raise ArgumentError(
                f"`where` must be a name, one of = != < <= > >= and a value, got {text!r}. "
                "Write e.g. 'cell=LSTM' or 'length>=100'."
            )
        key, operator, value = match["key"], match["operator"].replace("==", "="), match["value"]
        if operator in _ORDER and _number(value) is None:
            raise ArgumentError(
                f"`where` must compare with a number after {operator}, got {text!r}. Write e.g. '{key}{operator}100'."
            )
        return cls(key, operator, value)

    def holds(self, value: Any) -> bool:
        """Return whether a value of the table fulfils the condition."""
        if self.operator in _ORDER:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return number and _ORDER[self.operator](value, float(self.value))
        return any(_same(value, text) for text in self._texts()) == (self.operator == "=")

    def in_sql(self, column: str, boolean: bool) -> tuple[str, list[Any]]:
        """Return the condition on a column of an overview, and its arguments.

        Parameters
        ----------
        column : str
            An expression that is NULL where there is no value.
        boolean : bool
            Whether the column holds truth values as 0 and 1.
        """
        if self.operator in _ORDER:
            bound = float(self.value)
            if boolean or math.isnan(bound):
                return "0", []
            return f"(typeof({column}) IN ('integer', 'real') AND {column} {self.operator} ?)", [bound]
        parts, arguments = [], []
        for text in self._texts():
            part, some = _same_in_sql(column, text, boolean)
            parts.append(part)
            arguments += some
        equal = f"ifnull({' OR '.join(parts)}, 0)"
        return (equal if self.operator == "=" else f"NOT {equal}"), arguments

    def _texts(self) -> list[str]:
        """Return the values any of which will do: the whole, and its parts between commas, quotes included."""
        return list(dict.fromkeys([self.value, *_PARTS.findall(self.value)]))


def _number(text: str) -> float | None:
    """Return the number that a text spells."""
    try:
        return float(text)
    except ValueError:
        return None


def _unquoted(text: str) -> str | None:
    """Return what stands between quotes, None where there are none."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else None


def _same(value: Any, text: str) -> bool:
    """Return whether a text spells a value; between quotes it spells a text alone."""
    quoted = _unquoted(text)
    if quoted is not None:
        return isinstance(value, str) and value.casefold() == quoted.casefold()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value).casefold() == text.casefold()
    number = _number(text)
    if number is None or not isinstance(value, (int, float)):
        return to_json(value) == text
    return value == number or (math.isnan(value) and math.isnan(number))


def _same_in_sql(column: str, text: str, boolean: bool) -> tuple[str, list[Any]]:
    """Return as SQL whether a column holds what a text spells."""
    quoted = _unquoted(text)
    folded = (text if quoted is None else quoted).casefold()
    number = _number(text)  # of a quoted text None
    parts: list[str] = []
    arguments: list[Any] = []
    if boolean and quoted is not None:
        parts.append("0")
    elif boolean:
        parts.append(f"{column} = {int(folded == 'true')}" if folded in ("true", "false") else "0")
    else:
        parts.append(f"CASE typeof({column}) WHEN 'text' THEN casefold({column}) = ? ELSE 0 END")
        arguments.append(folded)
        if number is not None and not math.isnan(number):
            parts.append(f"(typeof({column}) IN ('integer', 'real') AND {column} = ?)")
            arguments.append(number)
    if folded == "none" and quoted is None:
        parts.append(f"{column} IS NULL")
    return f"({' OR '.join(parts)})", arguments


def parse_all(where: Sequence[str]) -> list[Condition]:
    """Read conditions; a single text is one."""
    return [Condition.parse(text) for text in ([where] if isinstance(where, str) else where)]


def unknown_name(argument: str, name: str, columns: Sequence[str], fixed: Sequence[str]) -> ArgumentError:
    """Return the error for a name that the table lacks, with some that it has."""
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    names = [column for column in columns if column not in fixed] + list(fixed)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ArgumentError(
        f"`{argument}` must begin with a parameter or metric of the runs, got {name!r}. {hint}"
        f"There are {', '.join(names[:LISTED])}{more}."
    )
