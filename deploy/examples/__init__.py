"""Examples of what a deployment can add. Nothing of the product imports them, and the image does not hold them."""
