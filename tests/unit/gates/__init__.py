"""Tests of mlops_ci.gates."""
