"""Packs, the loop that trains them, and the probes taken on the way."""
