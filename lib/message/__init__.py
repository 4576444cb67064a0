"""Messages as bytes: header fields, dates, trace headers, RFC 2047 words, delivery status notifications.

Content has LF line ends.  A message is never parsed into a tree and written again: fields are found by their
offsets and edited as bytes, so what nobody asked to change stays as it came.
"""
