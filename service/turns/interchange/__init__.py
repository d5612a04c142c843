"""Chats as others write them, and as they are taken along: pure conversions, without any I/O."""
