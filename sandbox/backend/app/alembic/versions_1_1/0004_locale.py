"""a user's language; part of the image from version 1.1.0 on"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.add_column("users", sa.Column("locale", sa.Text()))


def downgrade():
    op.drop_column("users", "locale")
