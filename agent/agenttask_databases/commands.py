"""Which Redis commands are passed on, by our list and by the server's own description.

Redis has no read-only session, so the list is ours; the server is asked what the name
really does there (`COMMAND INFO`), because a server may rename commands and modules
may add some. An account with `+@read -@dangerous` makes the server refuse by itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_READ_COMMANDS = """
    BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP EXISTS EXPIRETIME GEODIST GEOHASH GEOPOS
    GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HGET HGETALL HKEYS
    HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS LINDEX LLEN LPOS LRANGE MEMORY|USAGE MGET
    OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT PEXPIRETIME PTTL RANDOMKEY SCAN
    SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN STRLEN SUBSTR
    SUNION TTL TYPE XINFO|CONSUMERS XINFO|GROUPS XINFO|STREAM XLEN XPENDING XRANGE XREVRANGE
    ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX
    ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
    ZUNION
"""
READ_COMMANDS = frozenset(_READ_COMMANDS.split())
_NEVER = """
    ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DEBUG DISCARD EVAL EVALSHA
    EVALSHA_RO EVAL_RO EXEC FAILOVER FCALL FCALL_RO FLUSHALL FLUSHDB FUNCTION HELLO KEYS LATENCY
    MIGRATE MODULE MONITOR MULTI PSUBSCRIBE PSYNC PUBSUB QUIT READONLY READWRITE REPLCONF
    REPLICAOF RESET RESTORE-ASKING SAVE SCRIPT SELECT SHUTDOWN SLAVEOF SLOWLOG SSUBSCRIBE
    SUBSCRIBE SWAPDB SYNC UNWATCH WAIT WAITAOF WATCH
"""
NEVER = frozenset(_NEVER.split())
NEVER_FLAGS = frozenset({"admin", "blocking", "noscript", "pubsub", "no_auth"})
NEVER_CATEGORIES = frozenset(
    {"@admin", "@blocking", "@connection", "@dangerous", "@pubsub", "@scripting", "@transaction"}
)
CONTAINERS = frozenset({"MEMORY", "OBJECT", "XINFO", "XGROUP"})
MAX_COUNT = 10_000
"""Of SCAN and its kin: a server works on one command at a time."""
_NUMBER = re.compile(r"[0-9]{1,9}")
INSTEAD = {"KEYS": "use SCAN 0 MATCH pattern COUNT 1000", "XREAD": "use XRANGE"}


@dataclass(frozen=True)
class Description:
    """What the server says that a command is."""

    flags: frozenset[str]
    categories: frozenset[str]


def name_of(command: Sequence[str]) -> str:
    """Return the command's name in capitals, with its subcommand as `OBJECT|ENCODING`."""
    first = command[0].upper()
    return f"{first}|{command[1].upper()}" if first in CONTAINERS and len(command) > 1 else first


def refusal(command: Sequence[str], read_only: bool) -> str | None:
    """Return why the command is not even described by the server, or None."""
    name = name_of(command)
    if name.split("|")[0] in NEVER:
        return _with_hint(name, "is not allowed")
    if read_only and name not in READ_COMMANDS:
        return _with_hint(name, "is not among the commands of a read-only connection")
    return _count_refusal(name, [word.upper() for word in command])


def refusal_of(name: str, described: Description | None, read_only: bool) -> str | None:
    """Return why the command, as this server describes it, is not executed, or None."""
    if described is None:
        return f"this server knows no command {name!r}"
    if described.flags & NEVER_FLAGS or described.categories & NEVER_CATEGORIES:
        return _with_hint(name, "is not allowed")
    if read_only and ("readonly" not in described.flags or "write" in described.flags):
        return f"{name} writes on this server, and the connection is read-only"
    return None


def _with_hint(name: str, what: str) -> str:
    hint = INSTEAD.get(name)
    return f"{name} {what}; {hint}" if hint else f"{name} {what}"


def _count_refusal(name: str, words: Sequence[str]) -> str | None:
    """Bound COUNT, with which one SCAN can stop a server for seconds."""
    if not name.endswith("SCAN") or "COUNT" not in words[1:-1]:
        return None
    counts = (words[at + 1] for at, word in enumerate(words[:-1]) if word == "COUNT")
    if all(_NUMBER.fullmatch(count) and int(count) <= MAX_COUNT for count in counts):
        return None
    return f"COUNT is a number up to {MAX_COUNT}"
