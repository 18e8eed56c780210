"""From values per seed to intervals, p values and verdicts."""
