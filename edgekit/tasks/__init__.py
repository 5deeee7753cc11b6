"""What a model's numbers mean. One module per task; classification is the first."""
