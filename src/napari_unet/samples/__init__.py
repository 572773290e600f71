"""Pictures to try things on, with their truth where it is known; none is downloaded."""
