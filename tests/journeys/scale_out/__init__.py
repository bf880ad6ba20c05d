"""Several machines of each kind, as network namespaces, and the loss of some of them under load."""
