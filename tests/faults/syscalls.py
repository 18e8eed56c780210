"""A disk that fails in the middle, at the real system call: the kernel itself refuses to write.

A seccomp filter (Linux) answers every later write of this process to a file, and every question
whether it may write, with an error; reading goes on. It cannot be taken off again.
"""

import ctypes
import errno
import os
import platform

SYSCALLS = {
    "x86_64": {"write": 1, "pwrite64": 18, "access": 21, "faccessat": 269, "faccessat2": 439},
    "aarch64": {"write": 64, "pwrite64": 68, "faccessat": 48, "faccessat2": 439},
}
"""Numbers of those that write or ask; of ``write`` only what goes elsewhere than to a terminal."""
HIGHEST_TERMINAL = 2

LOAD, EQUAL, GREATER, ANY_BIT, RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


class Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("true", ctypes.c_uint8),
        ("false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(Instruction)))


def refuse_writes(number):
    """Let every write of this process to a file fail from now on.

    Args:
        number: ``errno.EROFS``, ``errno.ENOSPC`` or ``errno.EIO``.
    """
    calls = SYSCALLS[platform.machine()]
    refused, allowed = (RETURN, 0, 0, REFUSE | number), (RETURN, 0, 0, ALLOW)
    code = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, calls["pwrite64"]), refused]
    code += _where(calls["write"], 0, GREATER, HIGHEST_TERMINAL, refused, allowed)
    if number == errno.EROFS:
        for name, place in (("access", 1), ("faccessat", 2), ("faccessat2", 2)):
            if name in calls:
                code += _where(calls[name], place, ANY_BIT, os.W_OK, refused, allowed)
    code.append(allowed)
    filled = (Instruction * len(code))(*(Instruction(*one) for one in code))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in (
        (NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (SECCOMP, FILTER, ctypes.byref(Program(len(code), filled)), 0, 0),
    ):
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")


def _where(call, place, test, value, refused, allowed):
    """Refuse a system call whose argument passes a test; the number is in the accumulator."""
    argument = 16 + 8 * place
    return [
        (EQUAL, 0, 4, call),
        (LOAD, 0, 0, argument),
        (test, 0, 1, value),
        refused,
        allowed,
    ]
