"""Look at a Ray cluster in a process of its own, which may hang or be ended by Ray, before this one joins it.

    python -m wuerst_demo.fleet.cluster_probe HOST:PORT

prints the cluster's machines as JSON, or why it is not joined.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

from wuerst_demo.errors import SettingsError

MAX_ANSWER_S = 5.0
"""Longest time for an address to answer."""
MAX_PROBE_S = 60.0
MAX_NODE_SEARCH_S = 30
"""Longest time in which Ray looks for its processes on this machine; by itself it would take all of MAX_PROBE_S."""
NO_TOKEN = (
    "--ray requires a secret that all machines share: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN on each, and start Ray"
    " again there."
)
OPEN_CLUSTER = (
    "the cluster lets anybody run programs: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN there, too, and start it again."
)
OTHER_SECRET = "the cluster has another secret: give both the same RAY_AUTH_TOKEN."
NOT_JOINED = "this machine is no part of the cluster: run `ray start --address {address}` here, too."
NO_RAY = "what answers there is no Ray: give the address of `ray start --head --port`."
HTTP2_PREFACE, SETTINGS_FRAME = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a gRPC client says first; the server's answer is a frame of type 4, too."""


def probe_cluster(address: str, python: str = sys.executable) -> list[dict[str, Any]]:
    """The machines of a cluster: "machine", "cpus", "gpus", "alive". Raises SettingsError for what does not answer as
    a Ray of this version with this secret."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), MAX_ANSWER_S) as connection:
            speaks_grpc = _speaks_grpc(connection)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"--ray {address}: nothing answers there; start Ray with `ray start --head --port 6379`, and open the port"
            " to this machine."
        ) from error
    if not speaks_grpc:
        raise SettingsError(f"--ray {address}: {NO_RAY}")
    command = [python, "-m", __spec__.name, address]
    env = {**os.environ, "RAY_gcs_server_request_timeout_seconds": str(MAX_NODE_SEARCH_S)}
    try:
        found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=MAX_PROBE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SettingsError(f"--ray {address}: {NO_RAY}") from error
    answer: list[dict[str, Any]] | str = _explain(found.stderr, address)
    with suppress(IndexError, ValueError):
        answer = json.loads(found.stdout.splitlines()[-1])
    if isinstance(answer, str):
        raise SettingsError(f"--ray {address}: {answer}")
    return answer


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether a server answers as one of gRPC does. Ray itself would try for minutes."""
    try:
        connection.sendall(HTTP2_PREFACE + SETTINGS_FRAME)
        return connection.recv(len(SETTINGS_FRAME))[3:4] == SETTINGS_FRAME[3:4]
    except OSError:
        return False


def _explain(text: str, address: str) -> str:
    """What Ray's own messages say, as a line with the remedy. They always have a warning about the secret that is no
    one's, see `main`; what counts is the exception."""
    if found := re.search(
        r"Version mismatch.*?Ray: (\S+).*?Python: (\S+).*?Ray: (\S+).*?Python: (\S+)", text, re.DOTALL
    ):
        theirs, ours = " with Python ".join(found.group(1, 2)), " with Python ".join(found.group(3, 4))
        return f"the cluster has Ray {theirs}, and this machine {ours}: install the same on both."
    if "RuntimeError: No node info found" in text:
        return NOT_JOINED.format(address=address)
    if re.search(r"^[\w.]*(AuthenticationError|Error: .*(Unauthenticated|InvalidAuthToken))", text, re.MULTILINE):
        return OTHER_SECRET
    return "Ray cannot connect; see that Ray and Python have the same versions there, and that its ports are open."


def main(address: str) -> None:
    """Prints the machines, or what is wrong with the cluster's secret."""
    given = os.environ.get("RAY_AUTH_TOKEN")
    if _accepts(address, secrets.token_hex(32)):
        answer: object = OPEN_CLUSTER
    elif not _accepts(address, given):
        answer = OTHER_SECRET
    else:
        answer = _machines(address)
    sys.stdout.write(json.dumps(answer) + "\n")


def _accepts(address: str, token: str | None) -> bool:
    """Whether the cluster takes a secret; None stands for the one in Ray's own file."""
    from ray import _raylet
    from ray.exceptions import AuthenticationError

    ray_core: Any = _raylet
    os.environ.pop("RAY_AUTH_TOKEN", None)
    if token is not None:
        os.environ["RAY_AUTH_TOKEN"] = token
    ray_core.AuthenticationTokenLoader.instance().reset_cache()
    try:
        ray_core.GcsClient(address=address).internal_kv_get(b"", b"")
    except AuthenticationError:
        return False
    return True


def _machines(address: str) -> list[dict[str, Any]]:
    import ray

    ray.init(address=address, logging_level="error", log_to_driver=False)
    return [
        {
            "machine": node["NodeManagerHostname"],
            "cpus": node["Resources"].get("CPU", 0.0),
            "gpus": node["Resources"].get("GPU", 0.0),
            "alive": node["Alive"],
        }
        for node in ray.nodes()
    ]


if __name__ == "__main__":
    main(sys.argv[1])
