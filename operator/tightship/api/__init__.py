"""The API as Python data: resources, conditions, wire formats. Imports nothing of ours."""
