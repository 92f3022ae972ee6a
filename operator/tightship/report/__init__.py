"""Readers' forms of report.json: one HTML page, and a few lines of Markdown for a pull request."""
