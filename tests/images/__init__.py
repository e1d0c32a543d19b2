"""Images of model versions: how they are made, and what is in them."""
