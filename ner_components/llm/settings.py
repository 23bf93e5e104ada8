"""The settings of `ner_components.OpenAICompatible.v1`, checked."""

import json
import math
import os
import re
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from ..errors import Errors
from . import cache
from .budget import LIMITS, PRICES
from .ladder import MODES

# Set by settings of their own, or not possible here.
OWN = {"messages", "model", "stream", "stream_options", "response_format", "n"}
OWN |= {"temperature", "seed", "max_tokens", "logprobs"}
SECRET = re.compile(r"auth|key$|secret|passw|credential|header|cookie|bearer|^token$", re.I)
# Names that look like it and are parameters of the protocol.
HARMLESS = {"prompt_cache_key"}
KEY = re.compile(r"[\x21-\x7e]+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_settings(settings: Dict[str, Any]) -> None:
    """Check what can be checked without network and disk.

    settings (Dict[str, Any]): By name.
    RAISES (ValueError): One is out of range; the message names it.
    """
    _check_url(settings["base_url"])
    _check_choices(settings)
    _check_numbers(settings)
    for name, allowed in (("prices", PRICES), ("budget", LIMITS)):
        for key, value in settings[name].items():
            if key not in allowed:
                _refuse(f"{name}.{key}", value, " or ".join(allowed) + " as a name")
            if not _is_number(value, 0.0):
                _refuse(f"{name}.{key}", value, "a number of at least 0")
    if "cost" in settings["budget"] and not settings["prices"]:
        _refuse("prices", {}, "prices beside a limit on cost: they are what costs are of")
    _check_extra(settings["extra"])


def check_ready(settings: Dict[str, Any]) -> None:
    """Check what a request needs, or a replay of the cache.

    settings (Dict[str, Any]): By name.
    RAISES (ValueError): No server or model is named, or the key is not there.
    """
    missing = [name for name in ("base_url", "model") if not settings[name]]
    if missing:
        raise ValueError(Errors.N152.format(missing=" and ".join(missing)))
    if settings["cache"] is None or settings["cache_mode"] != "read_only":
        read_key(settings["api_key_env"])


def read_key(name: Optional[str]) -> Optional[str]:
    """RETURNS (Optional[str]): The key in an environment variable, read at each request.
    RAISES (ValueError): The variable is not set, or holds no key.
    """
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ValueError(Errors.N153.format(name=name))
    if not KEY.fullmatch(key):
        raise ValueError(Errors.N154.format(name=name))
    return key


def _check_url(url: Optional[str]) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    fine = parts.scheme in ("http", "https") and parts.hostname and port != 0
    more = parts.query or parts.fragment or "@" in parts.netloc or "?" in url or "#" in url
    if not fine or more or any(x.isspace() or not x.isprintable() for x in url):
        # It may hold a password: not repeated.
        raise ValueError(Errors.N163)


def _check_choices(settings: Dict[str, Any]) -> None:
    choices = {"output_mode": ("auto", *MODES), "cache_mode": cache.MODES}
    for name, allowed in choices.items():
        if settings[name] not in allowed:
            _refuse(name, settings[name], ", ".join(f'"{x}"' for x in allowed))
    name = settings["api_key_env"]
    if name is not None and not NAME.fullmatch(name):
        # Somebody may have put the key itself there.
        raise ValueError(
            Errors.N151.format(setting="api_key_env", value="...", allowed=ENV)
        )
    if settings["cache_mode"] == "read_only" and settings["cache"] is None:
        _refuse("cache", None, 'the path of a file with cache_mode = "read_only"')


ENV = "the NAME of an environment variable: letters, digits and _"


def _check_numbers(settings: Dict[str, Any]) -> None:
    for name, least in (("concurrency", 1), ("max_retries", 0)):
        if not _is_number(settings[name], least, whole=True):
            _refuse(name, settings[name], f"a whole number of at least {least}")
    for name in ("max_tokens", "context_length"):
        if settings[name] is not None and not _is_number(settings[name], 1, whole=True):
            _refuse(name, settings[name], "a whole number of at least 1, or null")
    for name in ("timeout", "max_total_time", "cache_max_mb", "cache_ttl"):
        optional = name == "cache_ttl" and settings[name] is None
        if not optional and not (_is_number(settings[name], 0.0) and settings[name] > 0):
            _refuse(name, settings[name], "a number above 0")
    if settings["temperature"] is not None and not _is_number(settings["temperature"], 0.0):
        _refuse("temperature", settings["temperature"], "a number of at least 0, or null")


def _check_extra(extra: Dict[str, Any]) -> None:
    for name in extra:
        if name in OWN:
            _refuse(f"extra.{name}", "...", "a parameter without a setting of its own here")
        if SECRET.search(name) and name not in HARMLESS:
            _refuse(f"extra.{name}", "...", "api_key_env for a key; headers can't be set")
    try:
        json.dumps(extra, allow_nan=False)
    except (TypeError, ValueError):
        fine = False
    else:
        fine = True
    if not fine:
        _refuse("extra", "...", "what JSON has: text, finite numbers, lists, mappings")


def _is_number(value: Any, least: float, *, whole: bool = False) -> bool:
    kinds = (int,) if whole else (int, float)
    return type(value) in kinds and math.isfinite(value) and value >= least


def _refuse(setting: str, value: Any, allowed: str) -> None:
    raise ValueError(Errors.N151.format(setting=setting, value=value, allowed=allowed))
