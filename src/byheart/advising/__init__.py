"""Which regularizer stops memorization on a user's data, and what it costs."""
