"""when a user last logged in, and users by organization"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.add_column("users", sa.Column("last_login_at", sa.DateTime(timezone=True)))
    op.create_index("users_organization_id", "users", ["organization_id"])


def downgrade():
    op.drop_index("users_organization_id", "users")
    op.drop_column("users", "last_login_at")
