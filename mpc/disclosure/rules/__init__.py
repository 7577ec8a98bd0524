"""The rules, one module each. Adding one is adding a file and a line; the order decides which rule is named.

coverage          what no rule speaks of stays inside
quantiles         enough subjects on each side of a quantile
steps             enough subjects at risk, with the event and leaving at each survival step
models            enough observations, events and subjects a level for a model's parameters
leverage          no subject that outweighs the others in a model
dominance         no single contribution that makes up a magnitude
threshold         enough distinct subjects in every domain
coalition         also without any single party
zeros             empty cells, where the contract wants them withheld
companions        measures of one source go together              ┐
complementary     no withheld cell follows from released ones     │ repeated until nothing changes
hypothesis_tests  test statistics share the fate of their cells   ┘
"""

from mpc.disclosure.rules import (
    coalition,
    companions,
    complementary,
    complements,
    coverage,
    dominance,
    hypothesis_tests,
    leverage,
    models,
    quantiles,
    steps,
    threshold,
    zeros,
)
from mpc.disclosure.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    coverage.RULE,
    quantiles.RULE,
    steps.RULE,
    models.RULE,
    leverage.RULE,
    dominance.RULE,
    threshold.RULE,
    coalition.RULE,
    zeros.RULE,
    complements.RULE,
    companions.RULE,
    complementary.RULE,
    hypothesis_tests.RULE,
)
