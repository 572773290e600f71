"""Pictures to try things on, with their truth."""
