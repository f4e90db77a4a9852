"""What both tools agree on: the plan, the mix, the shards, the records and how they are read."""

FORMAT_VERSION = 1
