"""Checks a system user's password by PAM (pam(3)): pam_authenticate, then pam_acct_mgmt.

PAM's own delay after a failure is switched off; auth delays its answer without holding a thread.  Modules may block
for long (LDAP, a far server), so calls run in threads of their own.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_uint, c_void_p
from functools import cache

from pillarbox.auth.verdict import Verdict

# Constants of <security/_pam_types.h>.
_SUCCESS, _SYSTEM_ERR, _PERM_DENIED, _AUTH_ERR, _CRED_INSUFFICIENT, _USER_UNKNOWN, _MAXTRIES = 0, 4, 6, 7, 8, 10, 11
_NEW_AUTHTOK_REQD, _ACCT_EXPIRED = 12, 13
_BUF_ERR, _CONV_ERR = 5, 19
_PROMPT_ECHO_OFF, _PROMPT_ECHO_ON = 1, 2
_RHOST, _FAIL_DELAY = 4, 10
_SILENT, _DISALLOW_NULL_AUTHTOK = 0x8000, 0x0001

# _SYSTEM_ERR is what pam_exec gives for a script that says no.
_WRONG = {_SYSTEM_ERR, _PERM_DENIED, _AUTH_ERR, _CRED_INSUFFICIENT, _USER_UNKNOWN, _MAXTRIES}
_DISABLED = {_PERM_DENIED, _AUTH_ERR, _USER_UNKNOWN, _NEW_AUTHTOK_REQD, _ACCT_EXPIRED}

MESSAGE_LIMIT = 32
"""PAM_MAX_NUM_MSG: messages in one call of the conversation."""


class _Message(Structure):
    _fields_ = (("style", c_int), ("text", c_char_p))


class _Response(Structure):
    _fields_ = (("text", c_void_p), ("code", c_int))


_Converse = CFUNCTYPE(c_int, c_int, POINTER(POINTER(_Message)), POINTER(c_void_p), c_void_p)
_Delay = CFUNCTYPE(None, c_int, c_uint, c_void_p)


class _Conversation(Structure):
    _fields_ = (("converse", _Converse), ("data", c_void_p))


def _return_at_once(_status: int, _microseconds: int, _data: int) -> None:
    pass


_no_delay = _Delay(_return_at_once)


@cache
def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    pam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
    libc.calloc.restype = c_void_p
    libc.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
    libc.strdup.restype = c_void_p
    libc.strdup.argtypes = (c_char_p,)
    for name in ("pam_authenticate", "pam_acct_mgmt", "pam_end"):
        getattr(pam, name).argtypes = (c_void_p, c_int)
    pam.pam_set_item.argtypes = (c_void_p, c_int, c_void_p)
    return pam, libc


def check(service: str, name: str, password: str, client_address: str = "", *, directory: str = "") -> Verdict:
    """Whether the password is right, as the PAM service says; `directory` stands for /etc/pam.d in tests."""
    if not name or "\0" in name + password + client_address:
        return Verdict.WRONG
    try:
        pam, libc = _libraries()
    except OSError:
        return Verdict.UNAVAILABLE
    user, secret = name.encode("utf-8", "surrogateescape"), password.encode("utf-8", "surrogateescape")

    def converse(count: int, messages: object, responses: object, _data: int) -> int:
        if not 0 < count <= MESSAGE_LIMIT:
            return _CONV_ERR
        memory = libc.calloc(count, ctypes.sizeof(_Response))  # PAM frees it, and the texts
        if not memory:
            return _BUF_ERR
        answers = (_Response * count).from_address(memory)
        for index in range(count):
            style = messages[index].contents.style  # type: ignore[index]
            if style == _PROMPT_ECHO_OFF:
                answers[index].text = libc.strdup(secret)
            elif style == _PROMPT_ECHO_ON:
                answers[index].text = libc.strdup(user)
        responses[0] = memory  # type: ignore[index]
        return _SUCCESS

    handle = c_void_p()
    conversation = _Conversation(_Converse(converse), None)
    if directory:
        status = pam.pam_start_confdir(service.encode(), user, byref(conversation), directory.encode(), byref(handle))
    else:
        status = pam.pam_start(service.encode(), user, byref(conversation), byref(handle))
    if status != _SUCCESS:
        return Verdict.UNAVAILABLE
    try:
        pam.pam_set_item(handle, _FAIL_DELAY, ctypes.cast(_no_delay, c_void_p))
        if client_address:
            pam.pam_set_item(handle, _RHOST, ctypes.cast(c_char_p(client_address.encode()), c_void_p))
        flags = _SILENT | _DISALLOW_NULL_AUTHTOK
        status = pam.pam_authenticate(handle, flags)
        if status != _SUCCESS:
            return Verdict.WRONG if status in _WRONG else Verdict.UNAVAILABLE
        status = pam.pam_acct_mgmt(handle, flags)
        if status != _SUCCESS:
            return Verdict.DISABLED if status in _DISABLED else Verdict.UNAVAILABLE
        return Verdict.RIGHT
    finally:
        pam.pam_end(handle, status)
