"""Everything in one verified file, and back."""
