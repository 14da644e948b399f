"""Copies of model versions, as the target `copy_model` makes them."""
