"""Words for the server: whether it is there, who one is on it, and what to beware of."""

from __future__ import annotations

from ..contract.login import Person
from ..i18n import tr as _
from .label_words import host_in_words
from .login_state import can_be_read_along
from .server_link import AWAY, CONNECTING, LOGIN, NONE, READY, ServerLink


def state_in_words(server: ServerLink) -> str:
    """Whether it is there, and as whom one is connected."""
    if server.logging_in:
        return _("Logging in...")
    if server.state == READY:
        return _connected_in_words(server)
    return {
        NONE: _("Not connected"),
        CONNECTING: _("Connecting..."),
        LOGIN: _("This server wants a login"),
        AWAY: _("Away: the server does not answer"),
    }[server.state]


def title_in_words(server: ServerLink) -> str:
    """For the title of the section, to be read while that is closed: ``Server: ct.example.org, rita``."""
    if server.state == NONE:
        return _("Server")
    host = host_in_words(server.address)
    if server.state == AWAY:
        return _("Server: {host} is away").format(host=host)
    if server.state != READY or server.person is None or not server.person.name:
        return _("Server: {host}").format(host=host)
    return _("Server: {host}, {name}").format(host=host, name=server.person.name)


def why_no_server(server: ServerLink) -> str:
    """Why it cannot be asked now, and what to do about that; "" where it can."""
    if server.state == READY:
        return ""
    return {
        CONNECTING: _("Wait for the server."),
        LOGIN: _("Log in to the server first."),
        AWAY: _("The server does not answer. The panel keeps looking for it."),
    }.get(server.state, _("Connect to a server first."))


def role_in_words(person: Person | None) -> str:
    """What somebody may do on the server; "" for nobody."""
    if person is None:
        return ""
    return {
        "user": _("You may classify, and look at labels."),
        "annotator": _("You may classify and save labels."),
        "reviewer": _("You may classify, save labels, train networks and choose which version answers."),
        "admin": _("You may do everything."),
    }.get(person.role, _("You may do nothing here: ask the server's administrator for a role."))


def warnings_in_words(server: ServerLink) -> str:
    """What to beware of at the moment, a line each; "" for nothing."""
    warnings = []
    wanted = server.login_wanted
    if server.state == LOGIN and wanted is not None and can_be_read_along(server.address, wanted):
        warnings.append(
            _(
                "Your password or token would travel unencrypted: others on the network could read it. "
                "Ask for an address that begins with https."
            )
        )
    if server.state == READY and server.info is not None and not server.info.studies.reachable:
        warnings.append(
            _("The server cannot read its studies: {why}").format(why=server.info.studies.problem)
        )
    return "\n".join(f"⚠ {each}" for each in warnings)


def _connected_in_words(server: ServerLink) -> str:
    if server.person is not None and server.person.name:
        return _("Connected as {name}, {role}").format(
            name=server.person.name, role=server.person.role or _("without a role")
        )
    if server.reader:
        return _("Connected without a login, as {name}").format(name=server.reader)
    return _(
        "Connected without a login; your labels carry no name until you write yours into the settings "
        "(Edit > Application Settings > VPTCT)"
    )
