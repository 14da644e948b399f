"""What the product costs, side by side with others in one run: `make bench`, `make bench-peers`, `make bench-scale`."""
