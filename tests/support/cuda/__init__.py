"""A stand-in for one NVIDIA GPU and its driver, under torch's own Python code.

torch's Python for CUDA (`torch.cuda`) runs unchanged; what it calls in C++ is replaced by functions that keep a record and refuse
what the real ones refuse. Each refusal quotes the place in torch or CUDA that it stands for. Tensors on the GPU are wrappers
whose numbers the processor computes, so that results can be compared.

Not shown here: what only a real GPU has, such as its numbers' rounding, its speed, and work that runs later than it is called.
"""
