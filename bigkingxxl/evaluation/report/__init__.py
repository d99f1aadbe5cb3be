"""Reports: one HTML page that needs no other file, no script and no network."""
