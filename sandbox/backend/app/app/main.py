"""The HTTP side of the service."""

import json
import logging
import time
import uuid

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import login, variants
from app.config import database_url, debug_routes, version
from app.tables import organizations

log = logging.getLogger("app")

# The pool connects at the first query: the service starts, and is healthy, without a database. hide_parameters keeps
# what users typed out of the log.
database = sa.create_engine(database_url(), pool_pre_ping=True, pool_timeout=10, hide_parameters=True,
                            connect_args={"connect_timeout": 5})

app = FastAPI(title="plan-charge", version=version(), docs_url=None, redoc_url=None, openapi_url=None)


@app.middleware("http")
async def label(request: Request, call_next):
    """Mark each answer as a fresh one: a cached answer repeats an identifier that was seen before."""
    request.state.id = str(uuid.uuid4())
    try:
        response = await call_next(request)
    except Exception as error:  # what happened goes to the log; the client learns no more than that it did
        log.exception("request %s: %s %s failed: %s", request.state.id, request.method, request.url.path, type(error).__name__)
        response = JSONResponse({"detail": "Internal Server Error", "request_id": request.state.id}, 500)
    response.headers["X-Request-Id"] = request.state.id
    response.headers["X-Served-By"] = "backend/" + version()
    return response


@app.exception_handler(HTTPException)
async def refused(request: Request, error: HTTPException):
    return JSONResponse({"detail": error.detail, "request_id": request.state.id}, error.status_code, headers=error.headers)


@app.exception_handler(login.LoginRefused)
async def login_refused(request: Request, error: login.LoginRefused):
    return JSONResponse({"detail": error.detail, "request_id": request.state.id}, error.status)


@app.api_route("/health", methods=["GET", "HEAD"])
def health():
    """Tells that the process serves. It asks no database, or one slow database would restart every task."""
    if variants.is_variant(variants.UNHEALTHY):
        return JSONResponse({"status": "unhealthy", "version": version()}, 500)
    return {"status": "ok", "version": version()}


@app.get("/health/ready")
def ready():
    """Tells whether the database answers."""
    try:
        with database.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except sa.exc.SQLAlchemyError as error:
        log.warning("not ready: %s", error)
        return JSONResponse({"status": "no database", "version": version()}, 503)
    return {"status": "ready", "version": version()}


@app.get("/api/v1/organizations")
def list_organizations():
    fail_on_purpose()
    with database.connect() as connection:
        rows = connection.execute(
            sa.select(organizations.c.id, organizations.c.name)
            .where(organizations.c.deleted_at.is_(None))
            .order_by(organizations.c.name, organizations.c.id))
        return {"organizations": [{"id": str(row.id), "name": row.name} for row in rows]}


@app.post("/api/v1/auth/sso/token-exchange")
async def token_exchange(request: Request):
    fail_on_purpose()
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise login.LoginRefused(400, "the body is not JSON") from error
    return await run_in_threadpool(login.exchange, database, body)


def fail_on_purpose():
    if variants.is_variant(variants.ERRORS):
        raise RuntimeError("this image fails on purpose: see app/variants.py")


if debug_routes():

    @app.get("/api/v1/debug/fail")
    def debug_fail(status: int = 500):
        """Answers with any status, DEBUG_ROUTES=1 only: for tests of what stands before the service."""
        if not 200 <= status <= 599:
            raise HTTPException(400, "status must be from 200 to 599")
        return JSONResponse({"detail": "as asked"}, status)

    @app.get("/api/v1/debug/slow")
    def debug_slow(seconds: float = 1):
        """Answers late, DEBUG_ROUTES=1 only."""
        time.sleep(min(max(seconds, 0), 60))
        return {"slept": seconds}
