"""Brings a database to the newest revision; importing this loads Alembic, so only where it is needed."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def revisions() -> list[str]:
    """Every revision that has a script, the newest first."""
    return [script.revision for script in ScriptDirectory(FOLDER).walk_revisions()]


def migrate(connection: Connection, revision: str = "head") -> None:
    """Runs what is missing up to a revision, within the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
