"""Figure data, and the charts that are drawn from it. Never imports torch."""
