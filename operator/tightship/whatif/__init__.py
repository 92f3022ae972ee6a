"""What if: the operator's own planning on files, or on what a cluster holds, without acting."""
