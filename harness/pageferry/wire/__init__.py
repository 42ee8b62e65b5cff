"""Bytes on a wire to messages and back. Nothing here reads, writes or waits."""
