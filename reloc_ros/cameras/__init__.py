"""Camera models: pixels to unit rays and back."""
