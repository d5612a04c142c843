"""The table of what clients saw go wrong; see service.stores.schema for what its types mean."""

from sqlalchemy import Column, Double, Index, Table, Text

from service.stores.schema import metadata

complaints = Table(
    "complaints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("user", Text, nullable=False),
    Column("type", Text),
    Column("error", Text),
    Column("message", Text),
)

Index("ix_complaints_at", complaints.c.at)
