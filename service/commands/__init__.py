"""What an operator does beside running the service, which may be running meanwhile."""
