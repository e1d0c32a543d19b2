"""What stands in for GitHub in the tests."""
