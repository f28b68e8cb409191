"""Runs the program on standard input under limits. `tools.run_python` starts it in a new process.

System limits bound its time. On Linux they also bound its memory, and a network namespace of its
own cuts off the network, if the system allows that. An audit hook refuses sockets, processes, and
all files except Python's own modules. The hook cannot be removed.
"""

import builtins
import ctypes
import resource
import sys

SECONDS, BYTES = 2, 512 * 2**20
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
MODULES = tuple(path for path in sys.path if path)
REFUSED = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link",
    "os.symlink", "os.truncate", "os.putenv", "os.kill", "os.chdir",
    "shutil.", "ctypes.", "fcntl.", "mmap.", "pty.", "signal.", "syslog.", "webbrowser.", "urllib.",
    "ftplib.", "http.", "smtplib.", "sqlite3.", "tempfile.", "glob.", "gc.",
    "sys._current_frames", "sys.setprofile", "sys.settrace", "code.__new__",
)  # fmt: skip


def limit() -> None:
    """Limit time, files and processes. On Linux, also limit memory and leave the network."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS refuses a limit of memory and has no namespaces
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def refuse(event: str, args: tuple[object, ...]) -> None:
    """Refuse operations that a calculation does not need."""
    if event.startswith(REFUSED):
        raise PermissionError(f"not allowed here: {event}")
    if event == "open":
        path, mode = args[0], args[1]
        reads = mode is None or (isinstance(mode, str) and set(mode) <= set("rbt"))
        if not (reads and known(path)):
            raise PermissionError("not allowed here: opening a file")
    if event in ("os.listdir", "os.scandir") and not known(args[0]):
        raise PermissionError("not allowed here: listing a folder")


def known(path: object) -> bool:
    """Whether a path belongs to Python's own modules."""
    return isinstance(path, str) and path.startswith(MODULES) and ".." not in path


def main() -> None:
    """Run the program on standard input."""
    code = compile(sys.stdin.read(), "<program>", "exec")
    limit()
    sys.addaudithook(refuse)
    exec(code, {"__name__": "__main__", "__builtins__": builtins})  # noqa: S102


main()
