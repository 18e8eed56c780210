"""One module per figure or claim family, and what turns records into findings."""
