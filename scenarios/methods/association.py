"""Methods that compare groups, or tell how two columns go together."""


class Association:
    """Methods of association."""
