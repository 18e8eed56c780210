"""The page of an audit: what was found, drawn; it computes nothing."""
