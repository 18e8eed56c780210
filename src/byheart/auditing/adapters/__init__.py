"""The tracker in other people's loops. Each module needs its library, and nobody else loads it."""
