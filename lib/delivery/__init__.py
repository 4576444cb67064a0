"""What passes between the queue manager and a delivery agent: requests, results, content, and the line in the log."""

from pillarbox.lib.delivery.content import Content, text_content
from pillarbox.lib.delivery.request import DeliveryRecipient, DeliveryRequest
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result, log_result

__all__ = [
    "BOUNCED",
    "DEFERRED",
    "SENT",
    "Content",
    "DeliveryRecipient",
    "DeliveryRequest",
    "Result",
    "log_result",
    "text_content",
]
