"""What Azure provides, on a laptop: a Functions host, storage, and stand-ins for the services around them."""
