"""What every stage that computes on a CUDA GPU needs: whether it can be used, and what its errors mean."""
