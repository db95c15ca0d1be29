"""`python -m relmo`, which is also how torchrun starts it."""

from relmo.cli.main import run

if __name__ == "__main__":
    run()
