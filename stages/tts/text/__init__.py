"""What people write, made ready to be said: marks of typesetting undone, and shapes that voices misread put into words."""
