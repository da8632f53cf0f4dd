"""`python -m dragoman`, which `torchrun -m dragoman` starts in several processes."""

from dragoman.cli import main

if __name__ == "__main__":
    main()
