"""How the makers of coding models say they are to be sampled. Pure.

From the model cards and the generation_config.json beside the weights. A server that
was started with vLLM's default reads the same file; one with `--generation-config vllm`,
or another gateway, samples at temperature 1 without them. `min_p` is sent where a card
names it, since 0 turns a server's own value off.
"""

import re
from collections.abc import Mapping

Values = Mapping[str, float | int]

QWEN_INSTRUCT: Values = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": 0}
FAMILIES: tuple[tuple[re.Pattern[str], Values], ...] = (
    (
        re.compile(r"qwen3-coder"),
        {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05},
    ),
    (re.compile(r"qwen3-.*instruct"), QWEN_INSTRUCT),
    (re.compile(r"qwen3-\d"), {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0}),
    (
        re.compile(r"qwen2\.5-coder"),
        {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05},
    ),
    (re.compile(r"devstral"), {"temperature": 0.15}),
    (re.compile(r"gpt-oss"), {"temperature": 1.0, "top_p": 1.0}),
)
"""The first pattern found in the model's name decides."""


def recommended(name: str) -> Values:
    """Return the values for a model of this name; nothing for one we do not know."""
    plain = name.casefold()
    return next((values for pattern, values in FAMILIES if pattern.search(plain)), {})
