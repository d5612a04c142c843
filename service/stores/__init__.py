"""What stays: the database and what is kept in it."""
