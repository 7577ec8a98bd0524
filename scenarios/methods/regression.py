"""Regressions, each by a formula such as ``y ~ a + b + a:b`` over one dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

from scenarios.computation import ColumnNamed, Computation, Named, Terms, asked, named, spelled

Parties = Literal["pooled", "effects", "compared", "left_out"]


@dataclass(frozen=True)
class _Rows:
    """The rows of a dataset, where a formula names their columns."""

    dataset: str
    name: str = ""


class Regression:
    """Methods of regression.

    Formulas are parsed and never evaluated: ``a * b``, ``a:b``, ``C(a, ref="2")``, ``poly(x, 3)``, ``I(x^2)``,
    ``log(x)``, ``sqrt(x)``, ``offset(x)`` and ``- 1`` have a meaning, names are columns of ``over``. ``parties``:
    ``pooled`` tells nothing of them, ``effects`` gives each an effect, ``compared`` also tells each party's own
    estimates and how they differ, ``left_out`` that and the model without each. With ``residuals``, how many of them
    lie in each of six bands about 0 is told as well; models of likelihood have deviance residuals.
    """

    def linear(
        self,
        formula: str,
        over: Named,
        *,
        weights: ColumnNamed | None = None,
        errors: Literal["classical", "HC1", "HC3"] = "classical",
        residuals: bool = False,
        parties: Parties = "pooled",
        confidence: float = 0.95,
        **terms: Unpack[Terms],
    ) -> Computation:
        """Return least squares; ``errors`` HC1 and HC3 hold when the residuals' variance differs from row to row."""
        arguments: dict[str, Sequence[str]] = {
            "formula": [formula], "weights": named(weights), "errors": [errors],
            "residuals": ["bands" if residuals else "none"], "parties": [parties],
            "confidence": [spelled(confidence)],
        }  # fmt: skip
        return asked("linear", (_Rows(over.name), weights), arguments, **terms)

    def logistic(
        self, formula: str, over: Named, *, residuals: bool = False, parties: Parties = "pooled",
        confidence: float = 0.95, **terms: Unpack[Terms],
    ) -> Computation:  # fmt: skip
        """Return the log odds of a boolean, a category of two codes (the second is the event), or a 0 and 1."""
        return _by_likelihood(
            "logistic", formula, over, residuals=residuals, parties=parties, confidence=confidence, **terms
        )

    def poisson(
        self, formula: str, over: Named, *, residuals: bool = False, parties: Parties = "pooled",
        confidence: float = 0.95, **terms: Unpack[Terms],
    ) -> Computation:  # fmt: skip
        """Return the logarithm of an expected count; write the exposure as ``offset(log(exposure))``."""
        return _by_likelihood(
            "poisson", formula, over, residuals=residuals, parties=parties, confidence=confidence, **terms
        )

    def negative_binomial(
        self, formula: str, over: Named, *, residuals: bool = False, parties: Parties = "pooled",
        confidence: float = 0.95, **terms: Unpack[Terms],
    ) -> Computation:  # fmt: skip
        """Return the logarithm of an expected count that varies more than Poisson's, and its dispersion."""
        return _by_likelihood(
            "negative_binomial", formula, over, residuals=residuals, parties=parties, confidence=confidence, **terms
        )


def _by_likelihood(
    method: str,
    formula: str,
    over: Named,
    *,
    residuals: bool,
    parties: Parties,
    confidence: float,
    **terms: Unpack[Terms],
) -> Computation:
    arguments: dict[str, Sequence[str]] = {
        "formula": [formula],
        "residuals": ["bands" if residuals else "none"],
        "parties": [parties],
        "confidence": [spelled(confidence)],
    }
    return asked(method, (_Rows(over.name),), arguments, **terms)
