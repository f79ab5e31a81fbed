"""Drivers of devices that a node elsewhere has: `remote-stage` and its like, as instrument files name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Device
from cryoctl.node.address import check_address
from cryoctl.node.asking import ask_node
from cryoctl.node.client import NodeClient
from cryoctl.node.dealer import DealerLink
from cryoctl.node.heart import Heart
from cryoctl.node.keys import KeyFolder, key_folder
from cryoctl.node.remote import remote_device
from cryoctl.units import StrictModel

HERE = "tcp://this.node:1"
"""Stands for the node's address in what it hands out: by which one it is reached, only the other end knows."""


class RemoteSettings(StrictModel):
    node: str
    """tcp://HOST:PORT"""


class RemoteFactory:
    """All devices of one node and context share one connection and one lease."""

    settings_model = RemoteSettings

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raises `BadInput` for an address that is none."""
        check_address(RemoteSettings.model_validate(settings).node)

    def __call__(self, name: str, settings: Mapping[str, Any], context: DeviceContext) -> Device:
        """Asks the node what the device states; nothing is moved or taken.

        Raises:
            NodeNotReached: nobody answers there.
        """
        address = RemoteSettings.model_validate(settings).node
        client, facts = _node_of(address, context)
        return remote_device(self.kind, name, client, cast("Mapping[str, Any]", facts.get(name, {})))


def _node_of(address: str, context: DeviceContext) -> tuple[NodeClient, Mapping[str, Any]]:
    nodes: dict[str, tuple[NodeClient, Mapping[str, Any]]] = context.shared.setdefault("nodes", {})
    if address not in nodes:
        where = str(context.shared.get("person", "a runner"))
        told = ask_node(address, "node.instrument", where)
        keys = KeyFolder(key_folder())
        client = NodeClient(
            address,
            lambda: DealerLink(address, keys),
            where,
            heart=lambda secret, every_s: Heart(address, keys, where, secret, every_s),
        )
        nodes[address] = client, cast("Mapping[str, Any]", told.get("facts", {}))
    return nodes[address]


def remote_instrument(address: str) -> str:
    """The instrument file (YAML) of a node, as one of remote devices.

    Raises:
        NodeNotReached: nobody answers there.
    """
    told = ask_node(check_address(address), "node.instrument", "a runner")
    return str(told.get("text", "")).replace(HERE, address)


def as_remote(data: Mapping[str, Any]) -> dict[str, Any]:
    """An instrument file's data as whoever drives it from afar needs them: remote drivers, real time. The settings of
    the devices stay with the node."""
    devices = cast("Mapping[str, Mapping[str, Any]]", data["devices"])
    remote = {
        name: {"kind": entry["kind"], "driver": f"remote-{entry['kind']}", "settings": {"node": HERE}}
        for name, entry in devices.items()
    }
    return {**data, "clock": "real", "devices": remote}


STAGE, BEAM, IMAGE_DETECTOR, EDX = map(RemoteFactory, ("stage", "beam", "image_detector", "edx"))
HOLDER, BIAS, NEEDLE, LIGHT, VACUUM = map(RemoteFactory, ("holder", "bias", "needle", "light", "vacuum"))
