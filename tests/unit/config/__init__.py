"""Tests of mlops_ci.config."""
