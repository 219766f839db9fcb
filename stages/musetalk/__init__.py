"""MuseTalk: a latent inpainting network that paints the lower half of a face from sound, each frame in a single pass.

This is a new implementation of the inference of the public one (TMElyralab/MuseTalk, code MIT, at 0a89dec). Importing this
package imports nothing heavy; most of its modules import torch.
"""
