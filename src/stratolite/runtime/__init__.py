"""Runs a function bundle in a sandboxed process and returns its answer."""
