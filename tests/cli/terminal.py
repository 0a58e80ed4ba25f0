"""Runs a command on a pseudo terminal; what it writes goes to standard output as it is, and its exit code is this one's.

    terminal.py FILE COMMAND...

Lines appended to FILE are obeyed as they come: `size ROWS COLUMNS`, and `keys` with a JSON string. The first is a size.
"""
import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def obey(order, terminal):
    word, rest = order.split(" ", 1)
    if word == "size":
        resize(terminal, *map(int, rest.split()))
    else:
        os.write(terminal, json.loads(rest).encode())


orders = open(sys.argv[1])
first = orders.readline()
pid, terminal = pty.fork()
if pid == 0:
    obey(first, 0)
    os.execvp(sys.argv[2], sys.argv[2:])
unfinished = ""
while True:
    if select.select([terminal], [], [], 0.05)[0]:
        try:
            told = os.read(terminal, 65536)
        except OSError:  # The command has ended.
            break
        if not told:
            break
        os.write(1, told)
    unfinished += orders.read()
    *complete, unfinished = unfinished.split("\n")
    for order in complete:
        obey(order, terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
