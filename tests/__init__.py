"""The tests: unit mirrors the package; contracts hold each family to its Protocol; cli runs the real commands."""
