"""The route of everything that a caller asks for: who they are is checked before their body is
read.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.auth.access import authorize
from service.http.json_body import JsonRequest


class CallerRoute(APIRoute):
    """Who may not ask costs no more than the look at their key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_caller(request: Request) -> Response:
            request.state.caller = await authorize(request)
            return await answer(JsonRequest(request.scope, request.receive))

        return answer_caller
