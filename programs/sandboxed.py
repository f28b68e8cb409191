"""Runs the program on standard input where the kernel lets it compute and print, and nothing else.

`tools.run_python` starts this file in a new process. It first gives up what the stranger's program
must not have, and only then runs it:

- limits of the system bound its processor time, memory, open files and file sizes; an alarm ends it
  when its time on the clock is up, and its parent's death ends it too;
- Landlock takes all files away but for Python's own modules, which it may read;
- seccomp refuses every system call that is not in `ALLOWED`: there are no sockets, no new processes
  or threads, no signals, no tracing, no files opened for writing.

No part of this is optional: where the kernel cannot do one of them, the program is not run. All of
it is inherited and cannot be undone by the process itself. The word `CONFINED` on standard output
tells the parent that it was done.

The program can still ask whether a file exists and how long it is, since `stat` is what imports are
made of; it can read Python's own modules; and it can use up its two seconds and 512 MiB. A fault in
the kernel is not stopped by anything here.
"""

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import sys

CONFINED = b"confined\n"
SECONDS, BYTES, WALL_SECONDS, OPEN_FILES = 2, 512 * 2**20, 8, 32
CALLS = "the kernel's system calls"
# Modules whose extensions load libraries of the system, which cannot be opened later.
AHEAD = ("decimal", "hashlib", "zlib")

NO_NEW_PRIVILEGES, PARENT_DEATH_SIGNAL = 38, 1  # of prctl
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's calls, the same everywhere
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by version
NET_RIGHTS, SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1  # REFUSE fails with EPERM
MASKED_EQUAL, EQUAL = 7, 4
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
IS_TERMINAL, CLOSE_ON_EXEC = 0x5401, 0x5451  # of ioctl

# System calls without a condition: memory, time, and what is open already.
ALLOWED = (
    "read", "readv", "pread64", "write", "writev", "close", "dup", "lseek",
    "stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat", "faccessat2",
    "getcwd", "getdents64",
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise",
    "futex", "rt_sigreturn", "restart_syscall", "sched_yield", "sched_getaffinity",
    "getpid", "gettid", "getuid", "geteuid", "getgid", "getegid",
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
    "times", "getrusage", "getrandom", "uname", "sysinfo", "exit", "exit_group",
)  # fmt: skip


class Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`."""

    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class PathRule(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


class Condition(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp."""

    _fields_ = (
        ("argument", ctypes.c_uint), ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64), ("second", ctypes.c_uint64),
    )  # fmt: skip


def main() -> None:
    """Confine this process, say so, and run what stands on standard input."""
    text = sys.stdin.buffer.read()
    for name in AHEAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    try:
        confine()
    except OSError as problem:
        sys.exit(str(problem))
    os.write(1, CONFINED)
    exec(compile(text, "<program>", "exec"), {"__name__": "__main__"})  # noqa: S102


def confine() -> None:
    """Give up all but computing and printing. Raises: OSError where the kernel cannot do it."""
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp = filter_library()
    bound()
    done(libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
    done(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")
    restrict_files(libc, [path for path in sys.path if os.path.exists(path)])
    restrict_calls(seccomp)


def filter_library() -> ctypes.CDLL:
    """Open libseccomp, which knows the numbers of system calls on each processor."""
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        raise OSError("the library libseccomp.so.2 is missing; install libseccomp2") from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Condition),
    )  # fmt: skip
    return library


def bound() -> None:
    """Limit processor time, memory, files and time on the clock."""
    for kind, most in (
        (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_AS, BYTES), (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):  # fmt: skip
        resource.setrlimit(kind, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WALL_SECONDS)


def restrict_files(libc: ctypes.CDLL, readable: list[str]) -> None:
    """Let this process read beneath some folders, and do nothing else with files."""
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    done(version, "Landlock")
    files = FILE_RIGHTS[max(known for known in FILE_RIGHTS if known <= version)]
    rules = Ruleset(files, NET_RIGHTS if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    ruleset = done(libc.syscall(CREATE_RULESET, ctypes.byref(rules), size, 0), "Landlock")
    for path in readable:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = READ_FILE | READ_DIR if os.path.isdir(path) else READ_FILE
        rule = PathRule(rights, folder)
        done(libc.syscall(ADD_RULE, ruleset, 1, ctypes.byref(rule), 0), "a rule of Landlock")
        os.close(folder)
    done(libc.syscall(RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def restrict_calls(library: ctypes.CDLL) -> None:
    """Refuse all system calls but those that computing and printing take."""
    rules = library.seccomp_init(REFUSE)
    if not rules:
        raise OSError(f"{CALLS} cannot be filtered (seccomp)")
    for name in ALLOWED:
        allow(library, rules, name)
    reading = (MASKED_EQUAL, WRITING, 0)
    allow(library, rules, "open", (1, *reading))
    allow(library, rules, "openat", (2, *reading))
    for request in (IS_TERMINAL, CLOSE_ON_EXEC):
        allow(library, rules, "ioctl", (1, EQUAL, request, 0))
    for command in (1, 2, 3):  # read and set the flag "close on exec", read the mode
        allow(library, rules, "fcntl", (1, EQUAL, command, 0))
    if library.seccomp_load(rules):
        raise OSError(f"{CALLS} cannot be filtered (seccomp)")


def allow(library: ctypes.CDLL, rules: int, name: str, *conditions: tuple[int, ...]) -> None:
    """Let one system call through, where its arguments are as told."""
    number = library.seccomp_syscall_resolve_name(name.encode())
    listed = (Condition * len(conditions))(*(Condition(*c) for c in conditions))
    if number < 0:  # this kind of processor has no such call
        return
    if library.seccomp_rule_add_array(rules, ALLOW, number, len(conditions), listed):
        raise OSError(f"{CALLS} cannot be filtered (seccomp): {name}")


def done(result: int, what: str) -> int:
    """The result of a call that must not fail. Raises: OSError."""
    if result < 0:
        raise OSError(f"{what} is not there: {os.strerror(ctypes.get_errno())}")
    return result


if __name__ == "__main__":
    main()
