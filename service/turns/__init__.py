"""The one piece of application logic: a turn, its log, its ending."""
