"""Tests of mlops_ci.tracking."""
