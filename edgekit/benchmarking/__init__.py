"""The stopwatch: files timed against each other, and what their runs come to."""
