"""Networks whose parameters carry a leading replica dimension."""
