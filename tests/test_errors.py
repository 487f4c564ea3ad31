"""The exceptions: each is also the builtin that a caller expects, and names the way out."""

from __future__ import annotations

import pytest

from gradscope import errors
from gradscope.errors import ArgumentError, ExtraError, GradscopeError, ShapeError, StoreError, unknown


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [(ShapeError, ValueError), (ArgumentError, ValueError), (StoreError, OSError), (ExtraError, ImportError)],
)
def test_each_error_is_also_a_builtin(ours, builtin):
    assert issubclass(ours, GradscopeError)
    assert issubclass(ours, builtin)
    assert str(ours("`x` must be y, got z.")) == "`x` must be y, got z."


def test_every_public_class_is_ours():
    classes = [entry for name in errors.__all__ if isinstance(entry := getattr(errors, name), type)]
    assert all(issubclass(entry, GradscopeError) for entry in classes)


@pytest.mark.parametrize(
    ("value", "hint"),
    [("LTSM", "Did you mean 'lstm'?"), ("GRUU", "Did you mean 'gru'?"), ("Lstm", "Did you mean 'lstm'?")],
)
def test_a_near_miss_is_suggested(value, hint):
    assert str(unknown("cell", value, ["rnn", "lstm", "gru"])) == (
        f"`cell` must be one of rnn, lstm, gru, got {value!r}. {hint}"
    )


def test_the_suggestion_has_the_case_that_is_allowed():
    assert "Did you mean 'LSTM'?" in str(unknown("cell", "lstmm", ["RNN", "LSTM"]))


@pytest.mark.parametrize("value", ["transformer-xl", 7, None, ""])
def test_a_far_miss_gets_no_suggestion(value):
    message = str(unknown("cell", value, iter(["rnn", "gru"]), "See the manual."))
    assert message == f"`cell` must be one of rnn, gru, got {value!r}. See the manual."


def test_an_empty_set_is_said():
    assert str(unknown("name", "x", [])) == "`name` must be one of (there is none), got 'x'."
