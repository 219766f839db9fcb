"""What people save of several jobs at once: their results as one ZIP, and a list of them."""
