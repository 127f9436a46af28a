"""Print the newest message of a NATS subject: `python read_result.py URL SUBJECT`."""

import asyncio
import sys

import nats


async def read(url: str, subject: str) -> str:
    """Return the payload of the newest stored message; raises when there is none."""
    connection = await nats.connect(url, connect_timeout=5)
    try:
        context = connection.jetstream()
        stream = await context.find_stream_name_by_subject(subject)
        message = await context.get_last_msg(stream, subject)
        return (message.data or b"").decode()
    finally:
        await connection.close()


print(asyncio.run(read(sys.argv[1], sys.argv[2])))
