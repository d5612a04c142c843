"""Causerie: an AI-chat backend that accounts for every turn, however it ends."""
