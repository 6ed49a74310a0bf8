"""What a training sees: the contract, synthetic people, DeepFashion."""
