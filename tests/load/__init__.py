"""Many sessions at once, and large messages: what they cost in memory, and that nobody is turned away."""
