"""The papers' measures, usable on any model."""
