"""Crash injection: many events, workers killed and frozen at named moments, and a count of what came of it."""
