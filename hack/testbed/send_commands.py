"""Send commands by NATS and print the replies: `python send_commands.py URL COMMANDS`.

COMMANDS is a JSON list of [subject, payload]; each payload gets an inbox. Prints a JSON list.
"""

import asyncio
import json
import sys
from typing import Any

import nats

REPLY_SECONDS = 30


async def send(url: str, commands: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Return one reply for each command, in their order."""
    connection = await nats.connect(url, connect_timeout=5)
    try:
        return list(await asyncio.gather(*(_ask(connection, *command) for command in commands)))
    finally:
        await connection.close()


async def _ask(connection: Any, subject: str, payload: dict[str, Any]) -> Any:
    inbox = connection.new_inbox()
    answers = await connection.subscribe(inbox)
    body = json.dumps({**payload, "reply_to": inbox}).encode()
    await connection.jetstream().publish(subject, body)
    return json.loads((await answers.next_msg(REPLY_SECONDS)).data)


print(json.dumps(asyncio.run(send(sys.argv[1], json.loads(sys.argv[2])))))
