"""Flavors of frameworks that are too heavy, or too quarrelsome, for the environment of the other tests."""
