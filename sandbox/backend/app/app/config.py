"""What the service takes from its environment."""

import os

# Signs and checks the logins of a sandbox, where there is no identity provider. It protects nothing; the Go side
# (sandbox/backend/token.go) signs with the same text.
SANDBOX_SSO_SECRET = "plan-charge sandbox, not a secret"


class ConfigError(Exception):
    """The environment does not allow the service to start."""


def database_url() -> str:
    """DATABASE_URL with the driver that is installed. An error never repeats the value: it carries a password."""
    url = os.environ.get("DATABASE_URL", "")
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url[len(scheme):]
    if url.startswith("postgresql+psycopg://"):
        return url
    if not url:
        raise ConfigError("DATABASE_URL is not set; it must be like postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    raise ConfigError("DATABASE_URL does not start with postgresql://")


def version() -> str:
    """The image's tag."""
    return os.environ.get("SERVICE_VERSION") or "1.0.0"


def sso_secret() -> str:
    return os.environ.get("SSO_SECRET") or SANDBOX_SSO_SECRET


def debug_routes() -> bool:
    return os.environ.get("DEBUG_ROUTES") == "1"
