"""The route class that authorizes the caller before it reads the body of the request."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from jobs.schemas.keys import Scope
from service.auth.access import authorize
from service.http.json_body import JsonRequest


class CallerRoute(APIRoute):
    """A route that authorizes the caller first. A refused request costs only the key lookup."""

    to_change = Scope.WRITE  # the scope of its unsafe requests

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_caller(request: Request) -> Response:
            request.state.caller = await authorize(request, self.to_change)
            return await answer(JsonRequest(request.scope, request.receive))

        return answer_caller


class ReaderRoute(CallerRoute):
    """A route that a key which only reads may use with any method."""

    to_change = Scope.READ
