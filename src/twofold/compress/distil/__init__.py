"""Distil: a small student learns from a big teacher, on the catalogue's own texts, without labels."""
