"""The analyses, one a file or room: each measures a record and presents it."""
