"""What a scene is in words: descriptions that a person may edit, and an operator's sentence as a scene prior."""
