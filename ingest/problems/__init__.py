"""The problem inbox: what fails, grouped; who was told; what was set going again."""
