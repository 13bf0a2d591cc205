"""Settings of the network in the environment, checked before libraries read them at import and fail.

Gradio and huggingface_hub build their HTTP clients while they are imported: a proxy that these do not support would end
the program with a traceback, though the page on a local checkpoint needs no network.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from urllib.parse import urlsplit

from wuerst_demo.checkpoints.hub import OFFLINE_REASON_VARIABLE

CLIENT_VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
TIMEOUT_VARIABLES = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")


def drop_unusable(env: MutableMapping[str, str]) -> None:
    """Remove settings from `env`, which is os.environ, that the HTTP library cannot use.

    huggingface_hub is kept to its cache then: without the proxy, it would connect directly. The reason is kept in `env`
    for the message about a checkpoint that is not in the cache.
    """
    given = [name for each in CLIENT_VARIABLES for name in (each, each.lower()) if env.get(name)]
    reasons = []
    if given:
        try:
            import httpx

            httpx.Client().close()
        except Exception:  # noqa: BLE001 - whatever the HTTP library raises
            reasons.append(
                f"the network settings {', '.join(given)} cannot be used: unset them, or give a"
                " proxy as http://HOST:PORT, and certificates as files that exist"
            )
            for name in given:
                del env[name]
    endpoint = env.get("HF_ENDPOINT", "")
    if endpoint and not _is_address(endpoint):
        reasons.append("HF_ENDPOINT is no address: write it with its scheme, such as https://huggingface.co")
        del env["HF_ENDPOINT"]
    for name in TIMEOUT_VARIABLES:
        if not _is_whole_number(env.get(name, "0")):
            reasons.append(f"{name} is no whole number of seconds: correct it, or unset it")
            del env[name]
    if reasons:
        env["HF_HUB_OFFLINE"] = "1"
        env[OFFLINE_REASON_VARIABLE] = "; ".join(reasons)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _is_whole_number(text: str) -> bool:
    try:
        int(text or "0")
    except ValueError:
        return False
    return True
