"""``python -m parties.cli`` is ``sealroom``."""

from parties.cli import main

main()
