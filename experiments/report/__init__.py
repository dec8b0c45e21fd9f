"""Reports of experiments: tables whose every number has its interval, its null and its record; figures; one page."""
