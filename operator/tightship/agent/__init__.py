"""The sidecar of each server: fetch, verify, load, warm up, report."""
