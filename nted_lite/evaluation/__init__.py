"""How good a model is: measures, the protocol on synthetic people, and the one on photographs."""
