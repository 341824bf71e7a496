"""The life of a model: named by the control topic, loaded beside the running one, shadowed, graded, taken back."""
