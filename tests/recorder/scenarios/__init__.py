"""What the recorder runs: each library as its users call it, against the stub, a file each."""
