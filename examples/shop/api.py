"""The shop's web API. `python api.py`, or any ASGI server with `api:app`."""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shop import store
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


def healthz(request: Request) -> JSONResponse:
    """200 when the database answers."""
    return JSONResponse({"status": "ok", "products": len(store.products()), "snapshots": store.snapshots()})


def products(request: Request) -> JSONResponse:
    return JSONResponse(store.products())


def orders(request: Request) -> JSONResponse:
    return JSONResponse(store.orders())


def order(request: Request) -> JSONResponse:
    found = store.order(request.path_params["number"])
    return JSONResponse(found) if found else JSONResponse({"error": "no such order"}, 404)


async def add_order(request: Request) -> JSONResponse:
    try:
        asked = json.loads(await request.body())
        product, quantity = int(asked["product"]), int(asked["quantity"])
        if quantity < 1:
            raise ValueError(quantity)
    except (KeyError, TypeError, ValueError):
        return JSONResponse({"error": 'send {"product": 1, "quantity": 2}'}, 400)
    try:
        # SQLite blocks: in a thread, so that other requests go on meanwhile.
        return JSONResponse(await run_in_threadpool(store.add_order, product, quantity), 201)
    except LookupError:
        return JSONResponse({"error": "no such product"}, 404)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    await run_in_threadpool(store.prepare)
    yield


app = Starlette(
    routes=[
        Route("/healthz", healthz),
        Route("/products", products),
        Route("/orders", orders, methods=["GET"]),
        Route("/orders", add_order, methods=["POST"]),
        Route("/orders/{number:int}", order),
    ],
    lifespan=lifespan,
)


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), log_level=os.environ.get("SHOP_LOG", "info")
    )
