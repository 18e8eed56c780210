"""Critical samples: the search that finds them, and the certificate that rules them out."""
