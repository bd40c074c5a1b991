"""The roles that routes want, as the type of their ``person``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from ..access.gate import require
from ..access.person import Person

User = Annotated[Person, Depends(require("user"))]
Annotator = Annotated[Person, Depends(require("annotator"))]
Admin = Annotated[Person, Depends(require("admin"))]
