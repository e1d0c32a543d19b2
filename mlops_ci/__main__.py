"""`python -m mlops_ci`."""

from mlops_ci.cli import main

if __name__ == "__main__":
    main()
