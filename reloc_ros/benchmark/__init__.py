"""How long networks take on this machine, back end by back end."""
