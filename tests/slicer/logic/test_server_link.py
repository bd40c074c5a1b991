"""The server of the panel: there, away and back, and who is logged in."""

from __future__ import annotations


def test_a_reader_connects_and_logs_in_with_a_token(reader) -> None:
    server, told = reader.desk.server, []
    server.ready.connect(lambda: told.append("ready"))
    assert (server.state, server.client, server.info) == ("none", None, None)
    server.connect(f" {reader.site.relay.url}/ ")
    assert (server.state, server.address) == ("connecting", reader.site.relay.url)
    reader.ticker.until(lambda: server.state != "connecting")
    assert (server.state, server.login_wanted.kind, server.client) == ("login", "token_file", None)
    server.log_in_with_token(reader.site.tokens["rita"])
    assert server.logging_in
    reader.ticker.until(lambda: not server.logging_in)
    assert (server.state, server.reader, told) == ("ready", "rita", ["ready"])
    assert (server.may("reviewer"), server.may("admin")) == (True, False)
    assert [task.name for task in server.info.tasks] == ["nodule", "pe"]
    assert server.client.access.who_am_i().name == "rita"
