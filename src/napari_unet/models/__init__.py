"""Models: a card, weights that hold no code, and the network that runs them."""
