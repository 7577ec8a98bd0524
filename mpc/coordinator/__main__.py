"""``python -m mpc.coordinator``: it measures, and runs, whatever copy of the package is found first."""

from mpc.coordinator.cli import main

if __name__ == "__main__":
    main()
