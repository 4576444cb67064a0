"""ManageSieve without I/O: bytes in, lines of tokens out (`reader`); what each command takes (`grammar`); `replies`;
`capabilities`; and what a logged-in client may do (`management`).
"""
