"""Training (torch): losses, augmentation, the loop, checkpoints."""
