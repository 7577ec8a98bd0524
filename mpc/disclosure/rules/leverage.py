"""A model in which one subject outweighs the others tells that subject's response.

Whatever combination of the coefficients somebody forms, the squares of one subject's weights in it are at most its
leverage, as a part of the squares of all. A numeric column that is 1 for one person, a weight or an exposure beside
which all others vanish, a product of terms that only one person has: no count of subjects or degrees of freedom shows
them, and the leverage is 1. The limit is that of dominance in magnitudes (ACRO ``safe_nk_k`` 0.90): what the fit says
of a subject then still differs from its response by a tenth of the residual variance or more.
"""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import ModelSize, RawResult

LEVERAGE_MAX = 0.90
"""The part of the squares that one subject may have."""


def is_outweighed(model: ModelSize, rules: Rules) -> bool:
    """Tell whether one subject outweighs the others in ``model``, as it is or without any one party."""
    whole = model.leverage is None or model.leverage > LEVERAGE_MAX
    return whole or any(
        is_outweighed(left, rules) for left in model.without.values() if left.observations or rules.zeros == "withhold"
    )


def find(raw: RawResult, rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every cell that tells of a model in which one subject outweighs the others, or in which nobody looked."""
    found = nothing(raw)
    for table in raw.tables:
        outweighed = [is_outweighed(model, rules) for model in table.models]
        for measure in table.measures:
            if outweighed and not table.public:
                found[table.name, measure.name][:] |= outweighed
    return found


RULE = Rule(
    name="leverage",
    risk="Dominance",
    check="leverage of one subject",
    why="one subject has most of the weight in the model, or in some combination of its terms",
    guarantees="In no combination of a released model's coefficients has one subject more than 0.90 of the weight.",
    remedy="leave out or bound terms, weights and offsets that are far larger for some than for others; join levels",
    find=find,
)
