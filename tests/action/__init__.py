"""The action, run as a runner runs it."""
