"""master: the supervisor.

It reads the two configuration files, binds every socket, forks warm workers and keeps them in the numbers that
`master.yaml` gives; it restarts what dies, slows down what keeps dying, reloads and stops the whole suite in order.
All programs' code is imported once, before the first fork, and shared by all workers.

It never reads a byte from the network, and nothing that a message contains.
"""
