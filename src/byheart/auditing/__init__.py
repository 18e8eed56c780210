"""What does my network know by heart? The papers' measures on a practitioner's model and data."""
