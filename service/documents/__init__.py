"""Documents: Markdown -> safe HTML; files -> text, later."""
