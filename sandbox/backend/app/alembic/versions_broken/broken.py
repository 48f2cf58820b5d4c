"""a migration that fails after its first statement; see app/variants.py"""

import sqlalchemy as sa
from alembic import op

revision = "broken"
down_revision = "0003"


def upgrade():
    op.create_table("invoices", sa.Column("id", sa.Uuid(), primary_key=True))
    op.execute("ALTER TABLE invoice ADD COLUMN total numeric")


def downgrade():
    op.drop_table("invoices")
