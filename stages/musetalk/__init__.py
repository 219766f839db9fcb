"""MuseTalk: a latent inpainting network that paints the mouth's half of a face from sound, one frame in one pass.

The inference contract is that of the public implementation (TMElyralab/MuseTalk, code MIT, at 0a89dec), written anew.
Importing this package imports nothing heavy; torch comes with `network`, `speech` and what uses them.
"""
