"""Disclosure profiles: sets of rules under the name by which the field knows them.

A profile states only rules that this program holds; where a guide asks for more (OpenSAFELY's rounding to five,
the dominance rules of a statistical office), there is no profile of that name rather than a weaker one.
"""

from mpc.contract.terms import Rules


def _profile(name: str, threshold: int, *, zeros: str = "withhold", significant_digits: int = 6) -> Rules:
    return Rules.model_validate({
        "profile": name,
        "threshold": threshold,
        "coalition": 1,
        "zeros": zeros,
        "complementary": "suppress",
        "significant_digits": significant_digits,
    })  # fmt: skip


STANDARD = _profile("standard", 10)
"""Ten subjects a cell, empty cells withheld, six digits: the custom of UK output checkers and of ACRO."""

DATASHIELD = _profile("datashield", 3)
"""Three subjects a cell: DataSHIELD's nfilter.tab. For research consortia that know each other."""

SCQL = _profile("scql", 4)
"""Four subjects a group: SCQL's group_by_threshold."""

CMS = _profile("cms", 11, zeros="release")
"""Eleven subjects a cell, empty cells may be told: the cell size policy of the US CMS."""

ADS = _profile("ads", 50)
"""Fifty users a row: what advertising clean rooms ask for."""

PROFILES = {rules.profile: rules for rules in (STANDARD, DATASHIELD, SCQL, CMS, ADS)}
