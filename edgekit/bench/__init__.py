"""Measuring: the stopwatch and the facts about the machine it ran on."""
