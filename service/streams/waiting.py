"""Wait for an event of asyncio, but not forever."""

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return True when the event is set, and False after so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
