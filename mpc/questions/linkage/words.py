"""A link in plain words."""

from mpc.questions.terms import Link, LinkPass, MatchedColumns

_WORDS = {
    "exact": "",
    "text": " (whatever its case, accents and spaces)",
    "name": " (its letters and digits, whatever their case and accents)",
    "digits": " (its digits)",
    "phone": " (as a telephone number)",
    "date": " (as a calendar day)",
}


def linkage_sentence(link: Link, method: str) -> str:
    """Return what is linked how, and then what is computed of it."""
    passes = "; then of those that are left, where ".join(map(_agreeing, link.passes))
    left = "any number of rows" if link.left_rows == "many" else "one row"
    return (
        f"Links {left} of {link.left} with one of {link.right} where {passes}; a key that is not unique links nobody. "
        f"{method} Also how many rows each pass linked and how many keys were ambiguous; never which."
    )


def _agreeing(each: LinkPass) -> str:
    return " and ".join(map(_pair, each.columns)) + (" agree" if len(each.columns) > 1 else " agrees")


def _pair(pair: MatchedColumns) -> str:
    names = pair.left if pair.left == pair.right else f"{pair.left} with {pair.right}"
    return names + _WORDS[pair.normalisation]
