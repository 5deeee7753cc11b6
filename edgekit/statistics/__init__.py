"""Pure functions of counts and times, and how sure they are."""
