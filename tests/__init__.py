"""The tests. They start their own servers on free ports, and stop them."""
