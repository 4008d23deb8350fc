"""What the package promises of speed and memory, measured. `make bench`, or `python -m benchmarks [NAME ...]`.

Each module measures one topic with `measure() -> Iterator[Figure]`. CPU time and memory are taken in fresh
processes, several times, and the best is shown: whatever else a machine does only ever adds to them.
"""
