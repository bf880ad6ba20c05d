"""`make matrix`: journeys and faults over the servers that a deployment may use."""
