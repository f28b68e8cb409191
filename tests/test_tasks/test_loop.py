import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from lmc.tasks.loop import event_loop, run_async, run_sync, to_future


async def where():
    return asyncio.get_running_loop(), threading.current_thread()


def test_all_coroutines_share_one_loop_in_a_daemon_thread():
    loop, thread = run_sync(where())
    assert loop is event_loop() and thread.daemon and thread is not threading.main_thread()
    assert to_future(where()).result() == (loop, thread)


def test_failures_come_through():
    async def fail():
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        run_sync(fail())


def test_calling_from_the_loop_itself_is_an_error_not_a_hang():
    async def outer():
        return run_sync(where())

    with pytest.raises(RuntimeError, match="await instead"):
        run_sync(outer())


async def test_other_loops_can_wait_and_cancel():
    ended = threading.Event()

    async def long():
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    assert (await run_async(where()))[0] is event_loop() is not asyncio.get_running_loop()
    task = asyncio.create_task(run_async(long()))
    await asyncio.sleep(0.05)
    task.cancel()
    assert await asyncio.to_thread(ended.wait, 5)


def run_script(script, *, interrupt=False):
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        if interrupt:
            os.kill(process.pid, signal.SIGINT)
        rest = process.stdout.read()  # not `communicate`, which loses what is buffered already
        return first + rest, process.wait(timeout=20)


def test_interrupt_lets_the_coroutine_clean_up():
    out, status = run_script(
        """
        import asyncio
        from lmc.tasks.loop import run_sync
        async def work():
            try:
                print("started", flush=True)
                await asyncio.sleep(30)
            finally:
                await asyncio.sleep(0.05)
                print("cleaned up", flush=True)
        try:
            run_sync(work())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
        interrupt=True,
    )
    assert out.split("\n")[:3] == ["started", "cleaned up", "interrupted"] and status == 0


def test_backends_are_closed_at_exit():
    out, status = run_script(
        """
        from lmc.tasks.loop import at_close, forget_closer, run_sync
        async def close():
            print("closed", flush=True)
        async def closed_already():
            print("closed twice", flush=True)
        at_close(close)
        at_close(closed_already)
        forget_closer(closed_already)
        async def nothing():
            print("ran", flush=True)
        run_sync(nothing())
        """
    )
    assert out == "ran\nclosed\n" and status == 0


def test_child_of_a_fork_gets_a_loop_of_its_own():
    out, status = run_script(
        """
        import os, warnings
        warnings.simplefilter("ignore")
        from lmc.tasks.loop import run_sync
        async def say(what):
            print(what, flush=True)
        run_sync(say("parent"))
        pid = os.fork()
        if pid == 0:
            run_sync(say("child"))
            os._exit(0)
        os.waitpid(pid, 0)
        """
    )
    assert out == "parent\nchild\n" and status == 0
