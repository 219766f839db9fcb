"""How far each point of the portrait moves with each expression: `fields` of the mouth, `upper_face` of brows and cheeks."""
