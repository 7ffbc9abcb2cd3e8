"""What a managed process may do: specifications, states, events, effects, and the pure step between them."""
