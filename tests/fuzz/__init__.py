"""Damaged and hostile input by the thousand, deterministic: `python -m fuzz` (make fuzz), and a share in test_fuzz.py."""
