"""The converter: stages from a source to a published, proven artifact."""
