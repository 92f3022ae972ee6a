"""Wanted Kubernetes objects as data, rendered from actions."""
