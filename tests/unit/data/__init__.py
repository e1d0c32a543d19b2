"""Tests of mlops_ci.data."""
