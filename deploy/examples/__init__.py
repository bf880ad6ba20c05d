"""Examples of what a deployment can add. The product does not import them, and the image does not contain them."""
