"""Images that misbehave on purpose.

A deployment that fails must leave the running version in service, and that can only be shown with images that fail.
Each is selected by its tag, which the sandbox hands over as SERVICE_VERSION; a version may stand before it, as in
"1.1.0-errors". Any other tag is a version that works.

    broken-migration   `alembic upgrade head` fails
    hang-migration     `alembic upgrade head` does not end
    crash              the service ends with code 3 as it starts
    unhealthy          /health answers 500
    errors             the login and the organizations answer 500, /health is well
"""

import re

from app.config import version

BROKEN_MIGRATION = "broken-migration"
HANG_MIGRATION = "hang-migration"
CRASH = "crash"
UNHEALTHY = "unhealthy"
ERRORS = "errors"

# Version 1.1.0 knows a user's language, and has the revision that makes the column.
KNOWS_LOCALE = (1, 1, 0)


def is_variant(name: str) -> bool:
    return version() == name or version().endswith("-" + name)


def extra_revisions() -> list[str]:
    """Folders of revisions, beside `versions`, that the image of this tag has."""
    if is_variant(BROKEN_MIGRATION):
        return ["versions_broken"]
    if is_variant(HANG_MIGRATION):
        return ["versions_hanging"]
    return ["versions_1_1"] if knows_locale() else []


def knows_locale() -> bool:
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version())
    return match is not None and tuple(map(int, match.groups())) >= KNOWS_LOCALE
