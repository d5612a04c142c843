"""Endpoint groups: a class here is mounted."""
