"""A linkage question as it was agreed, in one text: what the contract's page and reports show beside the words."""

from mpc.questions.terms import LinkageQuestion, LinkPass, MatchedColumns


def printed(question: LinkageQuestion) -> str:
    """Return the link, the method and its arguments."""
    link = question.link
    passes = " or ".join(map(_pass, link.passes))
    arguments = "; ".join(f"{name}: {', '.join(values) or 'none'}" for name, values in question.arguments.items())
    return f"{question.method} of {link.left} ({link.left_rows}) linked with {link.right} by {passes} ({arguments})"


def _pass(each: LinkPass) -> str:
    return " and ".join(map(_pair, each.columns))


def _pair(pair: MatchedColumns) -> str:
    how = pair.normalisation if pair.country is None else f"{pair.normalisation} {pair.country}"
    return f"{pair.left} = {pair.right} [{how}]"
