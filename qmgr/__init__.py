"""qmgr: decides what is delivered when, by whom, to where.

A message arrives in incoming/, is taken up into active/, its recipients are sorted by transport and next hop, handed to
delivery agents as fast as these and the destinations can take them, and it ends by being removed or deferred.  One
process, one owner of active/ and deferred/.  It never touches the network or a mailbox: agents get an open file.
"""
