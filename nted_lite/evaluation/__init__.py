"""How good a model is: the measures, the protocol on synthetic people, and the protocol on photographs."""
