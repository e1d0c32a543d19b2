"""
What `mlops-ci doctor` looks at: one module for each part of the setup, of small functions that yield findings.

In which order, and what they are given, is the business of `check_setup`.
"""
