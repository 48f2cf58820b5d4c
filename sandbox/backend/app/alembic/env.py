"""Runs the migrations on the database that DATABASE_URL names."""

import logging.config
from pathlib import Path

import sqlalchemy as sa
from alembic import context

from app import variants
from app.config import database_url
from app.tables import metadata

logging.config.fileConfig(context.config.config_file_name, disable_existing_loggers=False)

# An image carries the revisions of its own version. All versions share this folder, so the later ones are added here.
here = Path(__file__).parent
context.script.version_locations = [
    str(here / "versions"),
    *(str(here / folder) for folder in variants.extra_revisions()),
]


def run_offline():
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online():
    # The URL is not passed through the ini file: a percent sign in a password would be taken for interpolation there.
    engine = sa.create_engine(database_url(), poolclass=sa.NullPool, hide_parameters=True, connect_args={"connect_timeout": 10})
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
