"""Who may ask this server: where it listens, which web pages and hosts it answers, and who is logged in.

``install.install`` puts all of it before the routes. A route says whom it is for by a dependency and then
knows who asks: ``person: Annotated[Person, Depends(require("annotator"))]``. Imports are relative, as in the
package around it.
"""
