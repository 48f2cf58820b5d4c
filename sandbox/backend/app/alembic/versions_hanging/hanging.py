"""a migration that does not end; see app/variants.py"""

import time

import sqlalchemy as sa
from alembic import op

revision = "hanging"
down_revision = "0003"


def upgrade():
    # A table of its own: a lock on `users` would stop the version that serves, and that is not what this is to show.
    op.create_table("reports", sa.Column("id", sa.Uuid(), primary_key=True))
    print("waiting for something that never comes", flush=True)
    while True:
        time.sleep(60)


def downgrade():
    op.drop_table("reports")
