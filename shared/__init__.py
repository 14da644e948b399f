"""The words and the doors of Registry Relay. Nothing in here imports `handlers`."""
