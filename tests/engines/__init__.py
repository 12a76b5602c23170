"""Tests of ocirt below container engines."""
