"""What the toy reloads."""
