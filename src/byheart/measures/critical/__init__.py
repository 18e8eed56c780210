"""Critical samples: the search that finds them."""
