"""What the app does, in the order it happens: receive, route, run, sweep, operate."""
