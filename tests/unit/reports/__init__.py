"""Tests of mlops_ci.reports."""
