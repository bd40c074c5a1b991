"""Person: who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from vpt_plugin.store.tokens import ROLES

from .errors import RoleMissingError

ADMIN = "admin"


@dataclass(frozen=True)
class Person:
    """Who asks.

    Attributes:
        name: who it is; "" on a server without login.
        role: the highest of ``ROLES`` that they have; "" for none, which may do nothing.
    """

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether their role includes this one."""
        return self.role in ROLES and ROLES.index(self.role) >= ROLES.index(role)

    def check(self, role: str) -> None:
        """Refuse who lacks a role.

        Raises:
            RoleMissingError: names the role that is missing.
        """
        if not self.may(role):
            has = f"{self.name} is {self.role}" if self.role else f"{self.name} has no role here"
            raise RoleMissingError(
                f"this needs the role {role}, and {has}.", "Who runs this server gives out roles."
            )


# On a server without login everybody is this.
LOCAL = Person("", ADMIN)


def annotator_of(person: Person, said: str) -> str:
    """Whom a label is by: who is logged in, whatever the label leaves blank.

    Args:
        person: who saves the label.
        said: the label's ``annotator``.

    Raises:
        RoleMissingError: another name than one's own; an administrator may bring in labels of others.
    """
    if not said.strip():
        return person.name
    if said != person.name and not person.may(ADMIN):
        raise RoleMissingError(
            f"the label's annotator is {said[:100]!r}, and {person.name} is logged in.",
            f"Leave annotator empty, or save as {person.name}; an admin may bring in labels of others.",
        )
    return said
