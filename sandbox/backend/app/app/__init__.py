"""The sample backend of plan-charge: SSO login over organizations and users in PostgreSQL."""
