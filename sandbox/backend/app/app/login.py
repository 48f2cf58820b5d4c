"""Exchanging a token of the company's SSO for a session.

Three bodies are known. All are answered with 4xx when the token is no good:

    {"token": "…"}                                                   a token alone
    {"token": "…"} at /token-exchange?anything                       the same past a cache
    {"userInfo": {"email", "name", "id"}, "access_token": "…"}       what the web client sends

The structured body is looked up in `users` before its token is checked, as the production service does; so a database
without that table answers 500 here, whatever the token.
"""

import datetime
import logging
import uuid

import jwt
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from app.config import sso_secret
from app.tables import organizations, users

log = logging.getLogger("app.login")

ISSUER = "plan-charge-sso"
ORGANIZATIONS_BY_DOMAIN = {"nda-partners.com": "NDA Partners"}
DEFAULT_ORGANIZATION = "Default Organization"


class LoginRefused(Exception):
    """The client's fault: a 4xx answer."""

    def __init__(self, status: int, detail: str):
        super().__init__(detail)
        self.status, self.detail = status, detail


class OrganizationMissing(Exception):
    """Ours: the row that new users of a domain belong to is not there."""


def exchange(db: sa.Engine, body: object) -> dict:
    """Log in with one of the known bodies. Returns the answer's body."""
    if not isinstance(body, dict):
        raise LoginRefused(400, "the body must be a JSON object")
    if "userInfo" in body or "access_token" in body:
        email, token = _structured(body)
        with db.connect() as connection:
            _find(connection, email)
        claims = _verify(token)
        if claims["email"].lower() != email:
            raise LoginRefused(400, "the token was issued to another e-mail address")
    elif isinstance(body.get("token"), str):
        claims = _verify(body["token"])
        email = claims["email"].lower()
    else:
        raise LoginRefused(400, "send token, or userInfo with access_token")
    with db.begin() as connection:
        return _log_in(connection, email, claims.get("name") or email)


def _structured(body: dict) -> tuple[str, str]:
    info, token = body.get("userInfo"), body.get("access_token")
    email = info.get("email") if isinstance(info, dict) else None
    if not isinstance(email, str) or email.count("@") != 1 or not isinstance(token, str):
        raise LoginRefused(400, "userInfo.email and access_token are needed")
    return email.lower(), token


def _verify(token: str) -> dict:
    try:
        claims = jwt.decode(token, sso_secret(), algorithms=["HS256"], issuer=ISSUER, leeway=60,
                            options={"require": ["exp", "iss", "email"]})
    except jwt.InvalidTokenError as error:
        log.info("token refused: %s", error)
        raise LoginRefused(400, "the token is not valid") from error
    if not isinstance(claims["email"], str) or claims["email"].count("@") != 1:
        raise LoginRefused(400, "the token names no e-mail address")
    return claims


def _find(connection: sa.Connection, email: str):
    return connection.execute(sa.select(users).where(users.c.email == email)).one_or_none()


def _log_in(connection: sa.Connection, email: str, name: str) -> dict:
    user = _find(connection, email)
    if user is None:
        organization = _organization_for(connection, email)
        # Two first logins of one person may run at once: the second finds the first one's row.
        connection.execute(insert(users).values(organization_id=organization.id, email=email, name=name)
                           .on_conflict_do_nothing(index_elements=[users.c.email]))
        user = _find(connection, email)
    if user.deleted_at is not None:
        raise LoginRefused(403, "the user has been removed")
    connection.execute(sa.update(users).where(users.c.id == user.id).values(last_login_at=sa.func.now()))
    organization = connection.execute(
        sa.select(organizations).where(organizations.c.id == user.organization_id)).one()
    return {
        "access_token": _session(user.id),
        "token_type": "bearer",
        "user": {
            "id": str(user.id),
            "email": user.email,
            "name": user.name,
            "organization": {"id": str(organization.id), "name": organization.name},
            **({"locale": user.locale} if "locale" in users.c else {}),
        },
    }


def _organization_for(connection: sa.Connection, email: str):
    name = ORGANIZATIONS_BY_DOMAIN.get(email.split("@")[1], DEFAULT_ORGANIZATION)
    found = connection.execute(
        sa.select(organizations)
        .where(organizations.c.name == name, organizations.c.deleted_at.is_(None))
        .order_by(organizations.c.created_at)
        .limit(1)).one_or_none()
    if found is None:
        raise OrganizationMissing(f"organization {name!r} does not exist or is deleted")
    return found


def _session(user_id: uuid.UUID) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    return jwt.encode({"sub": str(user_id), "iat": now, "exp": now + datetime.timedelta(hours=8)}, sso_secret(), "HS256")
