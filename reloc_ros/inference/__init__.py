"""Running a bundle's network: one protocol, one file for each back end."""
