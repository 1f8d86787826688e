"""`python -m simulate`."""

from simulate.cli import run

if __name__ == "__main__":
    run()
