"""Walks through the relay with real models."""
