"""Who is measured: the relay, and others that do a part of the same."""
