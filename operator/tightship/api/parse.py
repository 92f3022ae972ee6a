"""Total parse functions: a resource as JSON in, a frozen value or one plain sentence out."""
