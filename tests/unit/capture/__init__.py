"""Tests of mlops_ci.capture."""
