"""The example portrait: an invented person, painted from scratch with numpy and OpenCV.

Nothing is sampled from a photograph. The face is a sculpted height field lit by three lamps; features and hair are
painted over it. ``python -m examples.portrait_source`` rewrites ``examples/portrait.png``.
"""
