"""Runs the service: python -m app"""

import logging
import os
import sys

import uvicorn

from app import variants
from app.config import ConfigError


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if variants.is_variant(variants.CRASH):
        print("fatal: this image ends as it starts, on purpose: see app/variants.py", file=sys.stderr)
        return 3
    try:
        from app.main import app
    except ConfigError as error:
        print(f"fatal: {error}", file=sys.stderr)
        return 2
    uvicorn.run(
        app,
        host=os.environ.get("HOST", "0.0.0.0"),
        port=int(os.environ.get("PORT", "8000")),
        server_header=False,
        # Longer than a load balancer keeps an idle connection (60 s): it must be the one that closes.
        timeout_keep_alive=75,
        # SIGTERM lets requests in flight finish; ECS kills after 30 s.
        timeout_graceful_shutdown=25,
    )
    return 0


sys.exit(main())
