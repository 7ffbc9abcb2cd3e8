"""The keeper's program. What it does stands in holder.py beside it: a module that is imported is compiled once and kept,
where a program is compiled at every start, in a third more time and memory."""

import sys

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/")[0])
    holder = __import__("holder")
    del sys.path[0]  # nothing else of ours can be imported here
    holder.main(sys.argv[1:])
