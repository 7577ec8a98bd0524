"""A model with nearly as many parameters as data tells the data.

The numbers are those of the guides: at least 10 residual degrees of freedom (ACRO ``safe_dof_threshold``, ABS DataLab),
parameters at most 0.33 of the observations (DataSHIELD ``nfilter.glm``), here also of the events where a model has
events, and the contract's threshold of subjects in each level of a category (DataSHIELD blocks smaller ones).
"""

from mpc.contract.terms import Rules
from mpc.disclosure.rules.rule import Hidden, Rule, nothing
from mpc.results import ModelSize, RawResult

FREEDOM_MIN = 10
PARAMETERS_A_THOUSAND_MAX = 330
"""Parameters for each thousand observations or events."""


def is_too_small(model: ModelSize, rules: Rules) -> bool:
    """Tell whether ``model``, as it is or without any one party, rests on too little."""
    return _is_small(model, rules) or any(
        _is_small(left, rules) for left in model.without.values() if left.observations or rules.zeros == "withhold"
    )


def _is_small(model: ModelSize, rules: Rules) -> bool:
    informative = model.observations if model.events is None else min(model.events, model.observations)
    counted = [count for count in (model.subjects, model.smallest_level, model.events) if count is not None]
    return (
        model.freedom < FREEDOM_MIN
        or 1000 * model.parameters > PARAMETERS_A_THOUSAND_MAX * informative
        or min(counted) < rules.threshold
    )


def find(raw: RawResult, rules: Rules, _hidden: Hidden) -> Hidden:
    """Return every cell that tells of a model that is too small."""
    found = nothing(raw)
    for table in raw.tables:
        small = [is_too_small(model, rules) for model in table.models]
        for measure in table.measures:
            if small and not table.public:
                found[table.name, measure.name][:] = small
    return found


RULE = Rule(
    name="models",
    risk="LowDOF",
    check="residual degrees of freedom, parameters, events and subjects in each level",
    why="too few subjects, events or degrees of freedom stand behind the model, or one of its levels",
    guarantees="A released model has at least 10 residual degrees of freedom and the threshold in each level.",
    remedy="use fewer terms, join small levels, or let more rows take part",
    find=find,
)
