"""Everything that touches the Kubernetes API: client, store, queue, lease, events."""
