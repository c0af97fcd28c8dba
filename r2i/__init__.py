"""Arrow takes memory from the system's allocator: its own keeps what threads free, and grows with every shard."""

import os

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # read when pyarrow is imported
