"""Deployment: the embedded stack, the image, the locks."""
